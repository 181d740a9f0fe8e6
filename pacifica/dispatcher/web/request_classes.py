"""CherryPy's request and answer, with what is the same for all of them made once.

An application may name the classes of both by itself (``request_class`` and ``response_class``).
"""

import logging
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache, partial
from http.cookies import SimpleCookie
from typing import Any

import cherrypy
from cherrypy._cprequest import HookMap, Request, Response, hookpoints
from cherrypy.lib import httputil
from cherrypy.lib.reprconf import NamespaceSet


class Settled(dict[str, Any]):
    """A request's configuration, from CherryPy's own and the application's, and what it comes to."""

    def __init__(self, common: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        super().__init__({**common, **own})
        self._made_of = dict(common), dict(own)
        self.outcome: Outcome | None = None

    def is_of(self, common: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
        """Whether it is still that of these two."""
        return self._made_of[0] == common and self._made_of[1] == own


class Hooks(HookMap):  # type: ignore[misc]
    """CherryPy's hooks, where a point without any takes no time."""

    def run(self, point: str) -> None:
        """Call those of the point."""
        if self[point]:
            super().run(point)


class Outcome:
    """What CherryPy's namespaces make of a configuration: attributes of the request, its hooks and its tools."""

    def __init__(self, before: Mapping[str, Any], request: Any) -> None:
        self._toolmaps, self._hooks, self._pages = request.toolmaps, request.hooks.copy(), request.error_page.copy()
        changed = {name: value for name, value in vars(request).items() if before.get(name, self) is not value}
        self._attributes = changed

    def give(self, request: Any) -> None:
        """Give the same to another request."""
        vars(request).update(self._attributes)
        request.toolmaps, request.hooks, request.error_page = self._toolmaps, self._hooks.copy(), self._pages.copy()


class Namespaces(NamespaceSet):  # type: ignore[misc]
    """CherryPy's namespaces, that read a configuration once."""

    def copy(self) -> "Namespaces":
        """All requests share it; nothing adds to it."""
        return self

    def __call__(self, config: Mapping[str, Any]) -> None:
        """Carry out a configuration on the request that is being answered."""
        request = cherrypy.serving.request
        outcome = getattr(config, "outcome", None)
        if outcome is not None:
            outcome.give(request)
            return
        before = dict(vars(request))
        super().__call__(config)
        # What is set at the answer, or at the body, is set anew for each.
        if isinstance(config, Settled) and not any(name.startswith(("response.", "request.body.")) for name in config):
            config.outcome = Outcome(before, request)


class DispatcherRequest(Request):  # type: ignore[misc]
    """CherryPy's request."""

    namespaces = Namespaces(Request.namespaces)
    hooks = Hooks(hookpoints)


class Headers(httputil.HeaderMap):  # type: ignore[misc]
    """CherryPy's headers; most are plain ASCII, and are encoded as that."""

    def output(self) -> list[tuple[bytes, bytes]]:
        """The headers as they are sent."""
        found = []
        for name, value in self.items():
            if type(value) is str and value.isascii() and value.isprintable():
                found.append((_name(name), value.encode("ascii")))
            else:
                found.append((_name(name), self.encode_header_item(value if isinstance(value, bytes) else str(value))))
        return found


@lru_cache(maxsize=256)
def _name(name: str) -> bytes:
    encoded: bytes = Headers.encode_header_item(name)
    return encoded


class DispatcherResponse(Response):  # type: ignore[misc]
    """CherryPy's answer, which does not name CherryPy and its version."""

    def __init__(self) -> None:
        self.status = None
        self.header_list = None
        self._body: Any = []
        self.time = time.time()
        self.headers = Headers()
        dict.update(self.headers, {"Content-Type": "text/html", "Date": _date(int(self.time))})
        self.cookie = SimpleCookie()


class DispatcherApplication(cherrypy.Application):  # type: ignore[misc]
    """CherryPy's application, which tells CherryPy's bus of its requests where somebody listens."""

    request_class, response_class = DispatcherRequest, DispatcherResponse

    def get_serving(self, local: Any, remote: Any, scheme: str, sproto: str) -> tuple[Any, Any]:
        """This thread's request and answer, made anew."""
        request, response = self.request_class(local, remote, scheme, sproto), self.response_class()
        request.app = self
        cherrypy.serving.load(request, response)
        _publish("acquire_thread")
        _publish("before_request")
        return request, response

    def release_serving(self) -> None:
        """The answer has been given."""
        _publish("after_request")
        try:
            cherrypy.serving.request.close()
        except Exception:  # noqa: BLE001 - the answer is given, and a user's own hook may fail in any way
            cherrypy.log("What was to be done at a request's end has failed.", traceback=True, severity=logging.ERROR)
        cherrypy.serving.clear()


def keep() -> Callable[[], object]:
    """This thread's request and answer, given back to it when that is called, where others were answered meanwhile."""
    return partial(cherrypy.serving.load, cherrypy.serving.request, cherrypy.serving.response)


def _publish(channel: str) -> None:
    if cherrypy.engine.listeners.get(channel):
        cherrypy.engine.publish(channel)


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
