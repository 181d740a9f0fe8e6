"""A request to a WSGI application without a server."""

from collections.abc import Callable
from contextvars import copy_context
from io import BytesIO
from typing import Any


def respond(
    application: Callable[..., Any], method: str, path: str, body: bytes = b"", **more: Any
) -> tuple[str, dict[str, str], bytes]:
    """The status, the headers and the body of the response; ``more`` changes the environment, ``None`` removes."""
    head: list[Any] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "HTTP_HOST": "localhost",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        **({"CONTENT_LENGTH": str(len(body))} if body else {}),
        **more,
    }
    environ = {name: value for name, value in environ.items() if value is not None}

    def start(*given: Any) -> None:
        head[:] = given[:2]

    def call() -> bytes:
        response = application(environ, start)
        parts = b"".join(response)
        getattr(response, "close", lambda: None)()
        return parts

    # A server answers in a context of its own; otherwise, later tests would find the request in their log lines.
    parts = copy_context().run(call)
    return head[0], dict(head[1]), parts
