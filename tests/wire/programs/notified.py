"""An application that prints when its worker starts and stops."""

from collections.abc import Callable
from typing import Any

from pacifica.dispatcher.wsgi import LazyApplication


def build() -> Callable[..., Any]:
    """The WSGI application, once the worker has started."""
    print("started with", application.threads, flush=True)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "0"), ("X-Threads", str(application.threads))])
        return [b""]

    application.on_stop.append(lambda: print("stopping", flush=True))
    return answer


application = LazyApplication(build)
