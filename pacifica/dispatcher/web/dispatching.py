"""Which handler answers: by path and method, from the raw path of the request.

The path is split before it is decoded, so that ``a%2Fb`` is one segment under every server; a server's
own ``PATH_INFO`` cannot tell. Every resource answers ``OPTIONS``; ``Allow`` names the methods that take
this path, not only this resource.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import cherrypy

from ..errors import BadRequest, DispatcherError

SLASH = "\udc2f"
"""Stands for a slash within a segment while CherryPy splits the path; strict UTF-8 never yields it."""
LONGEST_TARGET = 8000
"""Characters of a request target that are read (RFC 9110, section 4.1, recommends no less)."""
LISTS, LONGEST_LIST = ("Accept", "Content-Type", "Content-Disposition"), 2000
"""Headers that CherryPy takes apart in a time that grows with the square of their length, and what they may have."""


class PathDispatcher(cherrypy.dispatch.Dispatcher):  # type: ignore[misc]
    """CherryPy's walk through the tree, then the method of the resource that was found."""

    def __call__(self, path_info: str) -> None:
        """Set the handler of the current request."""
        self._find(path_info)
        request = cherrypy.serving.request
        for name in [name for name in LISTS if len(request.headers.get(name, "")) > LONGEST_LIST]:
            del request.headers[name]
            request.handler = cherrypy.HTTPError(431, f"The header {name} may have {LONGEST_LIST} characters.")

    def _find(self, path_info: str) -> None:
        request, headers = cherrypy.serving.request, cherrypy.serving.response.headers
        headers["Cache-Control"] = "no-store"
        raw = target(getattr(request, "wsgi_environ", {}), path_info)
        try:
            parts = segments(raw)
        except DispatcherError as error:
            self.find_handler("/")
            request.handler = _refusal(error)
            return
        request.path_info = "/" + "/".join(parts)
        queried = dict(request.params)
        resource, vpath = self.find_handler("/" + "/".join(part.replace("/", SLASH) for part in parts))
        named = {key: value for key, value in request.params.items() if key not in queried}
        named = {key: value.replace(SLASH, "/") for key, value in named.items()}
        request.params.update(named)
        vpath = [part.replace(SLASH, "/") for part in vpath]
        handlers = allowed(resource, vpath, named) if resource else {}
        request.handler = self._choose(handlers, request.method, vpath)
        if len(raw) > LONGEST_TARGET:
            request.handler = cherrypy.HTTPError(414, f"The request target may have {LONGEST_TARGET} characters.")

    @staticmethod
    def _choose(handlers: Mapping[str, Any], method: str, vpath: Sequence[str]) -> Any:
        """The method's handler; ``request.dispatcher_found`` is one of the path's, with the rest of the path."""
        if not handlers:
            return cherrypy.NotFound()
        # Tools wrap the request's own handler.
        cherrypy.serving.request.dispatcher_found = handlers.get(method) or next(iter(handlers.values())), vpath
        cherrypy.serving.response.headers["Allow"] = ", ".join(sorted({*handlers, "OPTIONS"}))
        if method == "OPTIONS":
            return _options
        if method not in handlers:
            return cherrypy.HTTPError(405)
        return cherrypy.dispatch.LateParamPageHandler(handlers[method], *vpath)


def segments(raw_path: str) -> list[str]:
    """The decoded segments of a raw path; one slash at its end counts for nothing.

    Raises ``BadRequest`` for an empty segment, and for bytes that are not UTF-8.
    """
    raw = raw_path.removeprefix("/").removesuffix("/")
    parts = raw.split("/") if raw else []
    if "" in parts:
        raise BadRequest("The path has an empty segment; write an empty text argument in a POST.")
    try:
        return [unquote_to_bytes(part.encode("latin-1")).decode("utf-8") for part in parts]
    except UnicodeError:
        raise BadRequest("The path is not UTF-8, percent-encoded.") from None


def allowed(resource: Any, vpath: Sequence[str], named: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    """The methods of a resource that take this path; ``HEAD`` is ``GET`` unless it has a handler of its own."""
    found = {name: getattr(resource, name) for name in dir(resource) if name.isupper()}
    found = {name: handler for name, handler in found.items() if _takes(handler, vpath, named)}
    if "GET" in found:
        found.setdefault("HEAD", found["GET"])
    return found


def _takes(handler: Callable[..., Any], vpath: Sequence[str], named: Mapping[str, str]) -> bool:
    try:
        _signature(handler).bind(*vpath, **named)
    except TypeError:
        return False
    return True


@lru_cache(maxsize=256)
def _signature(handler: Callable[..., Any]) -> inspect.Signature:
    """Made once for each handler, as it costs a tenth of a request."""
    return inspect.signature(handler)


def target(environ: Mapping[str, Any], path_info: str) -> str:
    """The raw path: gunicorn's ``RAW_URI``, cheroot's ``REQUEST_URI``; else what the server decoded."""
    raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "")
    if not raw:
        return path_info.encode("utf-8").decode("latin-1").replace("%", "%25")
    if not raw.startswith("/"):  # the absolute form (RFC 9112, section 3.2.2)
        return urlsplit(raw).path
    return raw.partition("?")[0].partition("#")[0]


def _options() -> bytes:
    cherrypy.response.status = 204
    cherrypy.response.headers.pop("Content-Type", None)
    return b""


def _refusal(error: DispatcherError) -> Callable[[], bytes]:
    def refuse() -> bytes:
        raise error

    return refuse
