"""gunicorn's settings: ``gunicorn -c python:pacifica.dispatcher.gunicorn_conf pacifica.dispatcher.wsgi:application``.

Options on gunicorn's command line override these. The hooks give the workers a folder in which their metrics are added
up, and let them share the memory of the master.
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

# Seconds for which a connection may be idle between two requests, and in which a request's head must arrive.
keepalive = 10
# Connections of each worker; further ones are answered with 503.
worker_connections = 500

# The longest request line and the largest head, in bytes; the application accepts request lines of 8,000 characters.
limit_request_line = 8190
limit_request_field_size = 32_768
limit_request_fields = 100

# The service sends no files.
sendfile = False

# No socket for gunicornc: all gunicorns of a user would share one path, and the master would run an event loop.
control_socket_disable = True


def on_starting(server: Any) -> None:
    """Make the folder, unless the user names one in the environment.

    A new master after SIGUSR2 finds the folder of the old master in the environment, and makes its own.
    """
    named = os.environ.pop(METRICS, "")
    if named and not Path(named).name.startswith(OURS):
        os.environ[METRICS] = named
        return
    _remove_left_behind({server.cfg.uid, os.geteuid()})
    try:
        os.environ[METRICS] = _make_folder(server.cfg.uid, server.cfg.gid)
    except OSError as error:
        server.log.warning("Each worker reports its own metrics only, as no folder can be made for them: %s", error)


def pre_fork(_: Any, __: Any) -> None:
    """Before the first fork, exclude all objects from garbage collection, so that workers share the master's memory."""
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


def on_exit(_: Any) -> None:
    """Remove the folder."""
    folder = os.environ.get(METRICS, "")
    if Path(folder).name.startswith(OURS):
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder(user: int, group: int) -> str:
    """Make a folder of the workers' user; its lock is held until this process and its children have ended.

    It gets its final name last, so a folder with that name is either locked or left behind. systemd-tmpfiles spares
    a locked folder, too.
    """
    made = Path(tempfile.mkdtemp(prefix=f"new-{OURS}"))
    os.chown(made, user, group)
    fcntl.flock(os.open(made, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    return str(made.rename(made.with_name(made.name.removeprefix("new-"))))


def _remove_left_behind(users: Collection[int]) -> None:
    """Remove the folders of masters that were killed, but no links and no folders of other users."""
    for folder in Path(tempfile.gettempdir()).glob(f"{OURS}*"):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(descriptor).st_uid in users:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # Its master is alive.
            continue
        finally:
            os.close(descriptor)
