"""gunicorn's settings: ``gunicorn -c python:pacifica.dispatcher.gunicorn_conf pacifica.dispatcher.wsgi:application``.

Options on gunicorn's command line override these. The hooks give the workers a folder in which their metrics are added
up, let them share the memory of the master, and end their waits when they stop.
"""

import gc
import logging
import queue
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from .config.load import find_sources
from .config.parser import logging_settings
from .core.errors import ConfigError
from .logs.setup import set_format
from .monitoring.metrics import shared_folder

worker_class = "gthread"
logger_class = "pacifica.dispatcher.gunicorn_conf.Logger"
bind = "127.0.0.1:8050"
workers = 2
threads = 8

# Seconds for which a connection may be idle between two requests.
keepalive = 10

# The longest request line and the largest head, in bytes; the application accepts request lines of 8,000 characters.
limit_request_line = 8190
limit_request_field_size = 32_768
limit_request_fields = 100

# The service sends no files.
sendfile = False

# No socket for gunicornc: all gunicorns of a user would share one path, and the master would run an event loop.
control_socket_disable = True


class Logger(GunicornLogger):  # type: ignore[misc]
    """Formats gunicorn's own lines as ours; ``--log-level`` and ``--error-logfile`` keep their meaning."""

    def setup(self, cfg: Any) -> None:
        """Set up gunicorn's logging, in the default format if the configuration is invalid.

        The application reports faults of the configuration when it starts. A fault in Celery's settings does not
        change the format.
        """
        super().setup(cfg)
        try:
            sources = find_sources()
            settings = logging_settings(sources.text, sources.environ, sources.name)
        except ConfigError:
            settings = logging_settings("", {})
        own: list[logging.Handler] = self.error_log.handlers
        set_format(own, settings)


def on_starting(server: Any) -> None:
    """Make the folder for metrics."""
    try:
        shared_folder.prepare(server.cfg.uid, server.cfg.gid)
    except OSError as error:
        server.log.warning("Each worker reports its own metrics only, as no folder can be made for them: %s", error)


def pre_fork(_: Any, __: Any) -> None:
    """Before the first fork, exclude all objects from garbage collection, so that workers share the master's memory."""
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


def post_worker_init(worker: Any) -> None:
    """Start the service in the worker, and end the waits of its requests when the worker is asked to stop."""
    from .wsgi import application

    if worker.wsgi is not application:
        return
    application.begin(worker.cfg.threads)
    stopping: queue.SimpleQueue[None] = queue.SimpleQueue()
    threading.Thread(target=_stop, args=(stopping, application.stop), name="stop", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, partial(_begin_stop, stopping, signal.getsignal(number)))


def _stop(stopping: "queue.SimpleQueue[None]", stop: Callable[[], None]) -> None:
    stopping.get()
    stop()


def _begin_stop(stopping: "queue.SimpleQueue[None]", following: Any, number: int, frame: Any) -> None:
    stopping.put(None)  # It is reentrant; a thread's start or a lock could wait forever for what the signal interrupts.
    following(number, frame)


def on_exit(_: Any) -> None:
    """Remove the folder for metrics."""
    shared_folder.remove()
