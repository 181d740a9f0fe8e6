"""The WSGI entry point: ``gunicorn -c python:pacifica.dispatcher.gunicorn_conf pacifica.dispatcher.wsgi:application``.

Each process builds its service at its first request, or when its server calls ``begin``. Nothing is therefore connected
or published before a server has forked its workers.
"""

import atexit
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import cherrypy

from .config.load import load_settings
from .core import strict_json
from .core.errors import CannotStart, ConfigError, DispatcherError
from .web import problem_document
from .web.middleware.access_log import RequestLog
from .web.request_classes import keep
from .web.server.bounds import Limits
from .web_process import WebProcess

logger = logging.getLogger(__name__)

UNHANDLED = "Unhandled exception while starting the service; the next request tries again."

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class LazyApplication:
    """A WSGI callable that builds the service at its first call in a process, or when ``begin`` is called.

    Our gunicorn worker uses the other members: it sets ``threads``, the number of requests that it answers at a time,
    and calls ``begin`` before it serves and ``stop`` when it begins to stop. It passes to ``refused`` the status of
    each request that it refuses itself. ``is_brief`` returns whether its loop may answer a request with this head and
    this many bytes of body.
    """

    def __init__(self, build: Callable[[], WsgiApplication]) -> None:
        self.threads: int | None = None
        self.on_stop: list[Callable[[], object]] = []
        self.refused: Callable[[int], object] = lambda _status: None
        self.is_brief: Callable[[bytes, int], bool] = lambda _head, _body: False
        self._build = build
        self._lock = threading.Lock()
        self._application: WsgiApplication | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        try:
            application = self._application or self._build_once()
        except DispatcherError as error:
            _log(error)
            return RequestLog(_unavailable)(environ, start_response)
        except Exception:
            logger.exception(UNHANDLED)
            return RequestLog(_unavailable)(environ, start_response)
        return application(environ, start_response)

    def begin(self) -> None:
        """Build the service. If that fails, log the reason; the next request tries again."""
        try:
            self._build_once()
        except DispatcherError as error:
            _log(error)
        except Exception:  # gunicorn would restart a worker that fails to start again and again.
            logger.exception(UNHANDLED)

    def stop(self) -> None:
        """Call each function in ``on_stop``, even if one of them fails."""
        for call in self.on_stop:
            try:
                call()
            except Exception:  # The server must end in any case.
                logger.warning("Unhandled exception while stopping the service.", exc_info=True)

    @staticmethod
    def keep() -> Callable[[], object]:
        """The calling thread's request state; the returned callable restores it."""
        return keep()

    @staticmethod
    def body_limit() -> int:
        """The largest request body in bytes: the default if the configuration is not valid, as each request reports."""
        try:
            return load_settings().dispatcher.body_limit
        except ConfigError:
            return Limits().body

    def _build_once(self) -> WsgiApplication:
        with self._lock:
            if self._application is None:
                self._application = self._build()
            return self._application


def build() -> WsgiApplication:
    """Build the CherryPy application and start its threads.

    Raises ``ConfigError``, ``SchemaMismatch``, and ``DatabaseUnavailable`` at once, so that no request waits.
    """
    web = WebProcess(load_settings, patient=False)
    cherrypy.config.update({"environment": "embedded", "log.screen": False})
    if application.threads is not None:
        web.limit_waiting(application.threads)
    web.count_events()
    application.refused = web.count_refusal
    application.on_stop.append(web.stop_waiting)
    application.is_brief = web.brief()
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
