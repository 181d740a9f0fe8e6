"""The WSGI entry: ``gunicorn -c python:pacifica.dispatcher.gunicorn_conf pacifica.dispatcher.wsgi:application``.

Everything is built in each process by itself, at its first request or when its server tells it to begin,
so that nothing is connected or published before a server has forked its workers.
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
from .web.server.intake import Limits
from .web_process import WebProcess

logger = logging.getLogger(__name__)

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class LazyApplication:
    """A WSGI callable that assembles the service when it is first called in a process, or told to ``begin``.

    A server that knows sets ``threads``, how many requests it answers at a time, and calls ``begin`` before it
    serves, and ``stop`` when it begins to stop; ``on_stop`` holds what is to be called then, by whoever keeps
    threads waiting. It calls ``refused`` for each request that it answers by itself, which ``on_refusal`` is then
    told. ``brief`` is what it then asks by ``is_brief`` (``web.brief``).
    """

    def __init__(self, build: Callable[[], WsgiApplication]) -> None:
        self.threads: int | None = None
        self.on_stop: list[Callable[[], object]] = []
        self.on_refusal: Callable[[int], object] = lambda _: None
        self.brief: Callable[[bytes, int], bool] = lambda _head, _body: False
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
        return application(environ, start_response)

    def begin(self) -> None:
        """Assemble the service; where that cannot be, the log tells why, and the next request tries again."""
        try:
            self._build_once()
        except DispatcherError as error:
            _log(error)
        except Exception:  # A worker that ends here would be started again and again.
            logger.exception("The service cannot start, and tries again at the next request.")

    def stop(self) -> None:
        """Call what ``on_stop`` holds; one that fails keeps no other from being called."""
        for call in self.on_stop:
            try:
                call()
            except Exception:  # Whatever it is, the server has to end.
                logger.warning("What was to be done at the server's end has failed.", exc_info=True)

    def refused(self, status: int) -> None:
        """A request was refused with that status before it was read."""
        self.on_refusal(status)

    def is_brief(self, head: bytes, body: int) -> bool:
        """Whether the server's loop may answer a request with that head, and so many bytes of body, by itself."""
        return self.brief(head, body)

    @staticmethod
    def keep() -> Callable[[], object]:
        """What a thread holds for the request that it answers, given back to it when that is called."""
        return keep()

    @staticmethod
    def body_limit() -> int:
        """The largest request body in bytes; the default, where the configuration has a fault: requests tell of it."""
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
    """Return the CherryPy application, with its threads started.

    Raises ``ConfigError``, and ``DatabaseUnavailable`` at once, as a request would have to wait.
    """
    web = WebProcess(load_settings, patient=False)
    cherrypy.config.update({"environment": "embedded", "log.screen": False})
    if application.threads is not None:
        web.limit_waiting(application.threads)
    web.count_events()
    application.on_refusal = web.count_refusal
    application.on_stop.append(web.stop_waiting)
    application.brief = web.brief()
    web.start()
    atexit.register(web.stop)
    web.disconnect()  # The calling thread may never answer a request.
    return web.tree  # type: ignore[no-any-return]


def _log(error: DispatcherError) -> None:
    """A sentence for the operator, and no traceback."""
    logger.error("The service cannot start, and tries again at the next request: %s", error)


def _unavailable(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    told = problem_document.of(CannotStart())
    headers = [("Content-Type", problem_document.PROBLEM_JSON), ("Retry-After", str(CannotStart.retry_after))]
    start_response(f"{told['status']} {told['title']}", headers)
    return [strict_json.pretty(told)]


application = LazyApplication(build)
