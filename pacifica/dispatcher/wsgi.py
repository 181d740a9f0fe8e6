"""The WSGI entry point, for gunicorn's own workers, uWSGI and mod_wsgi (docs/operations.md).

Each process builds its service at its first request, or when its server calls ``begin``. Nothing is therefore connected
or published before a server has forked its workers.
"""

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

import cherrypy

from .config.load import load_settings
from .core import strict_json
from .core.errors import CannotStart, DispatcherError
from .web import problem_document
from .web.middleware.access_log import RequestLog
from .web_process import WebProcess

logger = logging.getLogger(__name__)

UNHANDLED = "Unhandled exception while starting the service; the next request tries again."

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class LazyApplication:
    """A WSGI callable that builds the service at its first call in a process, or when ``begin`` is called.

    ``threads`` is the number of requests that the server answers at a time in each process.
    """

    def __init__(self, build: Callable[[], WsgiApplication]) -> None:
        self.threads = 2
        self.on_stop: list[Callable[[], object]] = []
        self._build = build
        self._lock = threading.Lock()
        self._built: tuple[int, WsgiApplication] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        try:
            application = self._build_once()
        except DispatcherError as error:
            _log(error)
            return RequestLog(_unavailable)(environ, start_response)
        except Exception:
            logger.exception(UNHANDLED)
            return RequestLog(_unavailable)(environ, start_response)
        return application(environ, start_response)

    def begin(self, threads: int) -> None:
        """Build the service. If that fails, log the reason; the next request tries again."""
        self.threads = threads
        try:
            self._build_once()
        except DispatcherError as error:
            _log(error)
        except Exception:  # gunicorn would restart a worker that fails to start again and again.
            logger.exception(UNHANDLED)

    def stop(self) -> None:
        """End the waits of requests: call each function in ``on_stop``, even if one of them fails."""
        for call in self.on_stop:
            try:
                call()
            except Exception:  # The server must end in any case.
                logger.warning("Unhandled exception while stopping the service.", exc_info=True)

    def _build_once(self) -> WsgiApplication:
        process, built = os.getpid(), self._built
        if built is None or built[0] != process:  # A process that was forked has none of the service's threads.
            with self._lock:
                if self._built is None or self._built[0] != process:
                    self.on_stop.clear()
                    self._built = process, self._build()
                built = self._built
        return built[1]


def build() -> WsgiApplication:
    """Build the CherryPy application and start its threads.

    Raises ``ConfigError``, ``SchemaMismatch``, and ``DatabaseUnavailable`` at once, so that no request waits.
    """
    web = WebProcess(load_settings, patient=False)
    cherrypy.config.update({"environment": "embedded", "log.screen": False})
    web.limit_waiting(application.threads)
    web.count_events()
    application.on_stop.append(web.stop_waiting)
    web.start()
    atexit.register(web.stop)
    web.disconnect()  # The calling thread may never answer a request.
    return web.tree  # type: ignore[no-any-return]


def _log(error: DispatcherError) -> None:
    logger.error("The service cannot start; the next request tries again: %s", error)


def _unavailable(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    problem = problem_document.of(CannotStart())
    headers = [("Content-Type", problem_document.PROBLEM_JSON), ("Retry-After", str(CannotStart.retry_after))]
    start_response(f"{problem['status']} {problem['title']}", headers)
    return [strict_json.pretty(problem)]


application = LazyApplication(build)
