"""A request to a WSGI application without a server."""

from collections.abc import Callable
from typing import Any


def respond(application: Callable[..., Any], method: str, path: str, **more: str) -> tuple[str, dict[str, str], bytes]:
    """The status, the headers and the body of the response; ``more`` is added to the environment."""
    head: list[Any] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "HTTP_HOST": "localhost",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        **more,
    }
    response = application(environ, lambda *given: head.extend(given[:2]))
    body = b"".join(response)
    response.close()
    return head[0], dict(head[1]), body
