"""The headers that every answer carries, whichever part made it."""

from collections.abc import Callable, Iterable
from typing import Any

SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""What an answer sets itself stays."""
SERVER = "Pacifica-Dispatcher"
WITH_SERVER = (*SECURITY, ("Server", SERVER))


class SecureHeaders:
    """WSGI middleware around the whole application; an answer has no ``Server`` of its own (``web.serving``)."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        # gunicorn adds a Server of its own, without a version, to whatever is there.
        named = environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")
        own = SECURITY if named else WITH_SERVER

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            there = {name for name, _ in headers}  # CherryPy writes each name in title case.
            return start_response(status, headers + [header for header in own if header[0] not in there], *more)

        return self._application(environ, start)
