"""Which handler answers: by path and method, from the raw path of the request.

The path is split before it is decoded, so that ``a%2Fb`` is one segment under every server; a server's
own ``PATH_INFO`` cannot tell. Every resource answers ``OPTIONS``; ``Allow`` names the methods that take
this path, not only this resource.
"""

import inspect
import string
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

import cherrypy

from ..core.errors import BadRequest, DispatcherError
from .request_classes import Settled

LONGEST_TARGET = 8000
"""Characters of a request target that are read (RFC 9110, section 4.1, recommends no less)."""
LISTS, LONGEST_LIST = ("Accept", "Content-Type", "Content-Disposition"), 2000
"""Headers that CherryPy takes apart in a time that grows with the square of their length, and what they may have."""
_PUNCTUATION = str.maketrans(string.punctuation, "_" * len(string.punctuation))
"""How CherryPy makes names of segments, such as that of ``openapi.json``."""


class Place(NamedTuple):
    """Who answers a path: by method, as ``Allow`` tells it, and one of them for those who ask what the path is."""

    handlers: Mapping[str, Callable[..., Any]]
    allow: str
    any: Callable[..., Any]


class PathDispatcher(cherrypy.dispatch.Dispatcher):  # type: ignore[misc]
    """A walk through CherryPy's tree, then the method of the resource that was found."""

    def __init__(self) -> None:
        super().__init__()
        self._settled = Settled({}, {})

    def __call__(self, path_info: str) -> None:
        """Set the handler of the current request."""
        self._find(path_info)
        request = cherrypy.serving.request
        for name in LISTS:
            if len(dict.get(request.headers, name, "")) > LONGEST_LIST:  # They are kept in title case.
                del request.headers[name]
                request.handler = cherrypy.HTTPError(431, f"The header {name} may have {LONGEST_LIST} characters.")

    def _find(self, path_info: str) -> None:
        request = cherrypy.serving.request
        cherrypy.serving.response.headers["Cache-Control"] = "no-store"
        raw = target(getattr(request, "wsgi_environ", {}), path_info)
        try:
            parts = segments(raw)
        except DispatcherError as error:
            self._configure(request, [])
            request.handler = _refusal(error)
            return
        request.path_info = "/" + "/".join(parts)
        self._configure(request, parts)
        resource, rest = walk(request.app.root, parts)
        request.handler = self._choose(request, place(resource, len(rest), tuple(request.params)), rest)
        if len(raw) > LONGEST_TARGET:
            request.handler = cherrypy.HTTPError(414, f"The request target may have {LONGEST_TARGET} characters.")

    def _configure(self, request: Any, parts: Sequence[str]) -> None:
        """Set ``request.config``: the same object for as long as neither CherryPy's nor the application's changes."""
        own = request.app.config
        if own.keys() - {"/", "global"}:  # A file has sections for some paths.
            self.find_handler("/" + "/".join(part.replace("/", "%2F") for part in parts))
            return
        if not self._settled.is_of(cherrypy.config, own.get("/", {})):
            self._settled = Settled(cherrypy.config, own.get("/", {}))
        request.config = self._settled

    @staticmethod
    def _choose(request: Any, found: Place | None, rest: Sequence[str]) -> Any:
        """The method's handler; ``request.dispatcher_found`` is one of the path's, with the rest of the path."""
        if found is None:
            return cherrypy.NotFound()
        handler = found.handlers.get(request.method)
        # Tools wrap the request's own handler.
        request.dispatcher_found = handler or found.any, rest
        cherrypy.serving.response.headers["Allow"] = found.allow
        if request.method == "OPTIONS":
            return _options
        if handler is None:
            return cherrypy.HTTPError(405)
        return cherrypy.dispatch.LateParamPageHandler(handler, *rest)


def walk(root: Any, parts: Sequence[str]) -> tuple[Any, list[str]]:
    """The resource that the segments lead to, and those behind it, which are its handlers' arguments.

    A resource may take some of them itself, by CherryPy's ``_cp_dispatch``.
    """
    resource, rest = root, list(parts)
    while rest:
        below = children(resource)
        child = below.get(rest[0].translate(_PUNCTUATION)) if below and "/" not in rest[0] else None
        if child is not None:
            del rest[0]
        elif (dispatch := getattr(resource, "_cp_dispatch", None)) is None or (child := dispatch(rest)) is None:
            break
        resource = child
    return resource, rest


@lru_cache(maxsize=256)
def children(resource: Any) -> Mapping[str, Any]:
    """The resources right below, which never change; what a resource keeps for itself is not one of them."""
    below = vars(resource).items()
    return {name: child for name, child in below if name[:1] != "_" and getattr(child, "exposed", False)}


@lru_cache(maxsize=256)
def place(resource: Any, number: int, named: tuple[str, ...]) -> Place | None:
    """Who answers at a resource for so many segments behind it, and those that it took by name; ``None`` for nobody.

    ``HEAD`` is ``GET`` unless it has a handler of its own.
    """
    found = {name: getattr(resource, name) for name in dir(resource) if name.isupper()}
    found = {name: handler for name, handler in found.items() if _takes(handler, number, named)}
    if not found:
        return None
    first = next(iter(found.values()))
    if "GET" in found:
        found.setdefault("HEAD", found["GET"])
    return Place(found, ", ".join(sorted({*found, "OPTIONS"})), first)


def _takes(handler: Callable[..., Any], number: int, named: tuple[str, ...]) -> bool:
    try:
        inspect.signature(handler).bind(*[""] * number, **dict.fromkeys(named, ""))
    except TypeError:
        return False
    return True


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
