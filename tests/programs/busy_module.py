"""A module that does everything that no module of the package may do when it is imported."""

import os
import socket
import sqlite3
from pathlib import Path

os.environ.get("BROKER_URL"), "DISPATCHER_CONFIG" in os.environ, os.getenv("PEEWEE_URL")
Path("config.ini").open("w").close()
sqlite3.connect("x.db").close()
socket.socket().bind(("127.0.0.1", 0))
