"""gunicorn's settings: ``gunicorn -c python:pacifica.dispatcher.gunicorn_conf pacifica.dispatcher.wsgi:application``.

Options of its command line win over these. The hooks give its workers a folder in which their metrics add up, and
the master's memory to share.
"""

import fcntl
import gc
import os
import shutil
import tempfile
from collections.abc import Collection
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

# No socket for gunicornc: it would be one path in the user's home for all that run there, and a loop in the master.
control_socket_disable = True


def on_starting(server: Any) -> None:
    """Make the folder, unless the environment names one; what an earlier master left there (SIGUSR2) is its own."""
    named = os.environ.pop(METRICS, "")
    if named and not Path(named).name.startswith(OURS):
        os.environ[METRICS] = named
        return
    _remove_left_behind({server.cfg.uid, os.geteuid()})
    try:
        os.environ[METRICS] = _make_folder(server.cfg.uid, server.cfg.gid)
    except OSError as error:
        server.log.warning("Each worker counts for itself, as there is no folder for the metrics: %s", error)


def pre_fork(_: Any, __: Any) -> None:
    """Before the first fork: what the collector of cycles leaves alone stays one memory for master and workers."""
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


def on_exit(_: Any) -> None:
    """Remove the folder."""
    folder = os.environ.get(METRICS, "")
    if Path(folder).name.startswith(OURS):
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder(user: int, group: int) -> str:
    """A folder of the workers' user that this process and its children hold the lock of, however they end.

    It gets its name last: what has that name is locked, or left behind. Cleaners of systemd leave it alone, too.
    """
    made = Path(tempfile.mkdtemp(prefix=f"new-{OURS}"))
    os.chown(made, user, group)
    fcntl.flock(os.open(made, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    return str(made.rename(made.with_name(made.name.removeprefix("new-"))))


def _remove_left_behind(users: Collection[int]) -> None:
    """Remove the folders of masters that were killed; never a link, nor what any other user has made."""
    for folder in Path(tempfile.gettempdir()).glob(f"{OURS}*"):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(descriptor).st_uid in users:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # Its master lives.
            continue
        finally:
            os.close(descriptor)
