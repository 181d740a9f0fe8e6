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


class SecureHeaders:
    """WSGI middleware around the whole application; takes the version out of ``Server``."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        # gunicorn adds a Server of its own, without a version, to whatever is there.
        named = environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            kept = [(name, value) for name, value in headers if name.lower() != "server"]
            there = {name.lower() for name, _ in kept}
            kept += [(name, value) for name, value in SECURITY if name.lower() not in there]
            return start_response(status, kept if named else [*kept, ("Server", SERVER)], *more)

        return self._application(environ, start)
