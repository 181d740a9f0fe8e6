"""Waits for a line of input, and then creates the tables of the database whose URL is the argument."""

import sys

from pacifica.dispatcher.store.database import Database

print("ready", flush=True)
sys.stdin.readline()
database = Database(sys.argv[1])
database.wait_until_up(1, 0.0)
database.close()
