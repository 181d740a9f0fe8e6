"""The WSGI entry: ``gunicorn -w 2 pacifica.dispatcher.wsgi:application``.

Everything is built at the first request of each process, so that nothing is connected or published
before a server has forked its workers.
"""

import atexit
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import cherrypy

from . import jsontext, rest
from .app import DispatcherApp
from .errors import DispatcherError
from .settings import load_settings

logger = logging.getLogger(__name__)

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class LazyApplication:
    """A WSGI callable that assembles the service when it is first called in a process."""

    def __init__(self, build: Callable[[], WsgiApplication]) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._application: WsgiApplication | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        try:
            application = self._application or self._build_once()
        except DispatcherError as error:
            logger.error(  # noqa: TRY400 - a sentence for the operator, not a traceback
                "The service cannot start, and tries again at the next request: %s", error
            )
            return _unavailable(start_response)
        return application(environ, start_response)

    def _build_once(self) -> WsgiApplication:
        with self._lock:
            if self._application is None:
                self._application = self._build()
            return self._application


def build() -> WsgiApplication:
    """The CherryPy application with its relay running; raises ``ConfigError`` and ``DatabaseUnavailable``.

    A database that is not up is not waited for: the request would wait, too.
    """
    app = DispatcherApp(load_settings)
    app.prepare(patient=False)
    tree = rest.mount(app.service, app.settings.auth, app.tokens, app.settings.dispatcher.body_limit)
    cherrypy.config.update({"environment": "embedded", "log.screen": False})
    app.relay.start()
    app.upkeep.start()
    atexit.register(app.relay.stop)
    return tree  # type: ignore[no-any-return]


def _unavailable(start_response: Callable[..., Any]) -> Iterable[bytes]:
    text = "The service cannot start; its log tells why."
    problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": text, "message": text}
    start_response("503 Service Unavailable", [("Content-Type", "application/problem+json"), ("Retry-After", "2")])
    return [jsontext.pretty(problem)]


application = LazyApplication(build)
