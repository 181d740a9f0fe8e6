"""gunicorn's settings: ``gunicorn -c python:pacifica.dispatcher.gunicorn_conf pacifica.dispatcher.wsgi:application``.

Options of its command line win over these. The hooks give its workers a folder in which their metrics add up.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

METRICS = "PROMETHEUS_MULTIPROC_DIR"
OURS = "pacifica-dispatcher-metrics-"

worker_class = "pacifica.dispatcher.web.server.gthread.Worker"
logger_class = "pacifica.dispatcher.web.server.gunicorn_log.Logger"
bind = "127.0.0.1:8050"
workers = 2
threads = 8

# Seconds of silence between two requests, and seconds in which a request's head must have come.
keepalive = 10
# Connections of each worker; any further one is answered 503.
worker_connections = 500

# The longest request line, of which the application takes 8,000 characters, and the largest head, in bytes.
limit_request_line = 8190
limit_request_field_size = 32_768
limit_request_fields = 100

# Files are not what it sends, and the socket of an answer waits for no client.
sendfile = False


def on_starting(_: Any) -> None:
    """Make the folder, unless the environment names one; what an earlier master left there (SIGUSR2) is its own."""
    named = os.environ.get(METRICS, "")
    if not named or Path(named).name.startswith(OURS):
        os.environ[METRICS] = tempfile.mkdtemp(prefix=OURS)


def on_exit(_: Any) -> None:
    """Remove the folder."""
    folder = os.environ.get(METRICS, "")
    if Path(folder).name.startswith(OURS):
        shutil.rmtree(folder, ignore_errors=True)
