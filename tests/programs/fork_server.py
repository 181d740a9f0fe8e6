"""Forks processes that have the libraries of the product imported: most of the processor time of their start.

``python fork_server.py FD``, a socket. A request ``{"arguments", "cwd", "env"}`` with a file for the output is answered
with the id of a process that runs ``python -m`` with the arguments; ``{"reap": id}`` with the exit status of a process
that has ended. The server ends when the socket is closed, and the kernel then kills the processes.
"""

import ctypes
import faulthandler
import gc
import json
import os
import runpy
import signal
import socket
import sys
from importlib import import_module
from typing import Any

LIBRARIES = (
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.worker.consumer",
    "cherrypy",
    "kombu.transport.pyamqp",
    "kombu.transport.redis",
    "peewee",
    "playhouse.db_url",
    "playhouse.migrations",
    "playhouse.pool",
    "playhouse.sqlite_ext",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "pymysql",
    "requests",
)
"""Neither the product nor gunicorn, which remembers the working directory of its import."""
DEATH_OF_THE_PARENT = 1
"""``PR_SET_PDEATHSIG``."""


def receive(requests: socket.socket) -> tuple[dict[str, Any], int]:
    """Answer requests; returns in each forked process, with its request and its output."""
    while True:
        text, files, _, _ = socket.recv_fds(requests, 1 << 20, 1)
        if not text:
            sys.exit()
        asked = json.loads(text)
        if "reap" in asked:
            _, status = os.waitpid(asked["reap"], 0)
            requests.send(str(os.waitstatus_to_exitcode(status)).encode())
        elif os.fork():
            os.close(files[0])
        else:
            return asked, files[0]


for library in LIBRARIES:
    import_module(library)
gc.freeze()
server = socket.socket(fileno=int(sys.argv[1]))
request, output = receive(server)
os.setsid()
ctypes.CDLL(None).prctl(DEATH_OF_THE_PARENT, signal.SIGKILL)
server.send(str(os.getpid()).encode())
server.close()
os.dup2(output, 1)
os.dup2(output, 2)
os.close(output)
faulthandler.enable()
os.chdir(request["cwd"])
os.environ.clear()
os.environ.update(request["env"])
sys.path[:1] = [request["cwd"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
sys.argv = request["arguments"]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
