"""Adds the security headers to every response, whichever part made it."""

from collections.abc import Callable, Iterable
from typing import Any

SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""Defaults: a response may set its own values."""
SERVER = "Pacifica-Dispatcher"
WITH_SERVER = (*SECURITY, ("Server", SERVER))


class SecureHeaders:
    """WSGI middleware around the application, whose responses set no ``Server`` (``web.request_classes``)."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # gunicorn always adds its own Server header, without a version.
        added = SECURITY if environ.get("SERVER_SOFTWARE", "").startswith("gunicorn") else WITH_SERVER

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            present = {name for name, _ in headers}  # CherryPy writes each name in title case.
            return start_response(status, headers + [header for header in added if header[0] not in present], *more)

        return self._application(environ, start)
