"""Finds the handler of a request by the raw path and the method.

The path is split before it is decoded, so ``a%2Fb`` is one segment under every server; ``PATH_INFO`` is already
decoded and cannot preserve this. Every resource answers ``OPTIONS``; ``Allow`` names the methods that accept this
path, not all methods of the resource.
"""

import inspect
import re
import string
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import cherrypy

from ..core.errors import BadRequest, DispatcherError
from .operation import operation_of
from .problem_response import HookError
from .request_classes import CachedConfig
from .server.loop import WAITER

MAX_TARGET = 8000
"""The longest request target, in characters (RFC 9110, section 4.1, recommends no less)."""
PARSED_HEADERS, MAX_PARSED_HEADER = ("Accept", "Content-Type"), 2000
"""Headers that CherryPy parses in quadratic time, and their greatest length in characters."""
_AFTER_HOST = re.compile(r"[/?#].*", re.DOTALL)
_PUNCTUATION = str.maketrans(string.punctuation, "_" * len(string.punctuation))
"""CherryPy's mapping from a segment such as ``openapi.json`` to an attribute name."""


class Match(NamedTuple):
    """The handlers of a path by method, the value of ``Allow``, and a handler to label requests that none answers."""

    handlers: Mapping[str, Callable[..., Any]]
    allow: str
    label: Callable[..., Any]


class LongHandler(cherrypy.dispatch.LateParamPageHandler):  # type: ignore[misc]
    """Runs a handler that is not short in a thread, if a loop runs the request."""

    def __call__(self) -> Any:
        return WAITER.run(super().__call__)


class PathDispatcher(cherrypy.dispatch.Dispatcher):  # type: ignore[misc]
    """Walks CherryPy's tree to the resource, then selects the method.

    Sets ``operation`` (only if a handler will run), ``path_template`` and ``arguments`` of the request.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cached = CachedConfig({}, {})

    def __call__(self, path_info: str) -> None:
        request = cherrypy.serving.request
        cherrypy.serving.response.headers["Cache-Control"] = "no-store"
        raw = raw_path(getattr(request, "wsgi_environ", {}), path_info)
        try:
            parts = segments(raw)
        except DispatcherError as error:
            self._configure(request, [])
            request.handler = HookError(error)
        else:
            self._find(request, parts)
            if len(raw) + len(request.query_string) > MAX_TARGET:
                request.query_string = ""  # It is not parsed.
                _refuse(request, 414, f"The request target is longer than {MAX_TARGET} characters.")
        for name in PARSED_HEADERS:
            if len(dict.get(request.headers, name, "")) > MAX_PARSED_HEADER:  # The keys are in title case.
                del request.headers[name]
                _refuse(request, 431, f"The header {name} is longer than {MAX_PARSED_HEADER} characters.")

    def _find(self, request: Any, parts: Sequence[str]) -> None:
        request.path_info = "/" + "/".join(parts)
        self._configure(request, parts)
        resource, rest = walk(request.app.root, parts)
        match = match_path(resource, len(rest), tuple(request.params))
        if match is None:
            request.handler = cherrypy.NotFound()
            return
        handler = match.handlers.get(request.method)
        found = operation_of(handler or match.label, len(parts))
        request.path_template, request.arguments = found.path if found else None, rest
        cherrypy.serving.response.headers["Allow"] = match.allow
        if request.method == "OPTIONS":
            request.handler = _options
        elif handler is None:
            request.handler = cherrypy.HTTPError(405)
        else:
            request.operation = found
            kind = cherrypy.dispatch.LateParamPageHandler if found and found.short else LongHandler
            request.handler = kind(handler, *rest)

    def _configure(self, request: Any, parts: Sequence[str]) -> None:
        """Set ``request.config``: the same object until CherryPy's or the application's configuration changes."""
        own = request.app.config
        if own.keys() - {"/", "global"}:  # A configuration file has sections for some paths.
            self.find_handler("/" + "/".join(part.replace("/", "%2F") for part in parts))
            return
        if not self._cached.is_made_of(cherrypy.config, own.get("/", {})):
            self._cached = CachedConfig(cherrypy.config, own.get("/", {}))
        request.config = self._cached


def walk(root: Any, parts: Sequence[str]) -> tuple[Any, list[str]]:
    """The resource at the path, and the remaining segments, which are the arguments of its handlers.

    A resource may consume segments itself with CherryPy's ``_cp_dispatch``.
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
    """The exposed resources directly below this one, without private attributes; they never change."""
    below = vars(resource).items()
    return {name: child for name, child in below if name[:1] != "_" and getattr(child, "exposed", False)}


@lru_cache(maxsize=256)
def match_path(resource: Any, number: int, named: tuple[str, ...]) -> Match | None:
    """The handlers of a resource that accept this number of positional segments and these named ones, or ``None``.

    ``HEAD`` uses the handler of ``GET`` unless the resource defines one.
    """
    found = {name: getattr(resource, name) for name in dir(resource) if name.isupper()}
    found = {name: handler for name, handler in found.items() if _accepts(handler, number, named)}
    if not found:
        return None
    first = next(iter(found.values()))
    if "GET" in found:
        found.setdefault("HEAD", found["GET"])
    allowed = {name for name, handler in found.items() if not _is_switched_off(handler)}
    return Match(found, ", ".join(sorted({*allowed, "OPTIONS"})), first)


def _is_switched_off(handler: Callable[..., Any]) -> bool:
    return any(each.switched_off for each in getattr(handler, "operations", ()))


def _accepts(handler: Callable[..., Any], number: int, named: tuple[str, ...]) -> bool:
    try:
        inspect.signature(handler).bind(*[""] * number, **dict.fromkeys(named, ""))
    except TypeError:
        return False
    return True


def segments(raw_path: str) -> list[str]:
    """The decoded segments of a raw path; a trailing slash is ignored.

    Raises ``BadRequest`` for an empty segment, and for bytes that are not UTF-8.
    """
    raw = raw_path.removeprefix("/").removesuffix("/")
    parts = raw.split("/") if raw else []
    if "" in parts:
        raise BadRequest("The path has an empty segment. Use POST to pass an empty string as an argument.")
    if "%" not in raw and raw.isascii():
        return parts
    try:
        return [unquote_to_bytes(part.encode("latin-1")).decode("utf-8") for part in parts]
    except UnicodeError:
        raise BadRequest("The path is not percent-encoded UTF-8.") from None


def raw_path(environ: Mapping[str, Any], path_info: str) -> str:
    """The path as it was sent: from gunicorn's ``RAW_URI``, cheroot's ``REQUEST_URI``, or else re-encoded."""
    raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "")
    if not raw:
        return path_info.encode("utf-8").decode("latin-1").replace("%", "%25")
    return origin_form(raw).partition("?")[0].partition("#")[0]


def origin_form(target: str) -> str:
    """The target without scheme and host, which only a request to a proxy must have (RFC 9112, section 3.2.2)."""
    if target.startswith("/"):
        return target
    found = _AFTER_HOST.search(target.partition("://")[2])
    return f"/{found[0].removeprefix('/')}" if found else "/"


def _refuse(request: Any, status: int, message: str) -> None:
    request.handler, request.operation = cherrypy.HTTPError(status, message), None


def _options() -> bytes:
    cherrypy.response.status = 204
    cherrypy.response.headers.pop("Content-Type", None)
    return b""
