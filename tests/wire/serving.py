"""The server with an application of the test, in a thread of the test process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pacifica.dispatcher.web.server.listener import listen
from pacifica.dispatcher.web.server.server import Server, ServerOptions

from ..eventually import eventually

Start = Callable[..., Any]


@contextmanager
def serving(application: Callable[..., Any], options: ServerOptions) -> Iterator[str]:
    """The URL of the server."""
    listener = listen("127.0.0.1", 0, 128)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = Server(application, listener, options)
    thread = threading.Thread(target=server.start)
    thread.start()
    try:
        eventually(lambda: server.ready)
        yield url
    finally:
        server.stop()
        thread.join(20)


def sends(*parts: bytes) -> Callable[[dict[str, Any], Start], list[bytes]]:
    """An application that always sends these parts."""

    def application(_: dict[str, Any], start: Start) -> list[bytes]:
        start("200 OK", [("Content-Length", str(sum(map(len, parts))))])
        return list(parts)

    return application
