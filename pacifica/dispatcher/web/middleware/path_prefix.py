"""The path prefix below which clients reach the service: other parts see paths without it, and put it before links."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from re import fullmatch
from typing import Any
from urllib.parse import quote

import cherrypy

from ...config.value_types import ROOT_PATH
from ...core.permissions import Network, within
from ..dispatcher import origin_form

PREFIX = "pacifica.dispatcher.prefix"
"""The key of the prefix in the WSGI environment."""
TARGETS = ("RAW_URI", "REQUEST_URI")
"""The keys of the target as received, which contains whatever prefix the proxy has not removed."""

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class PathPrefix:
    """WSGI middleware: the prefix is ``root_path``, or else ``SCRIPT_NAME``, or a trusted proxy's header.

    A proxy may remove the prefix from the path, or leave it.
    """

    def __init__(self, application: WsgiApplication, root_path: str, proxies: Sequence[Network]) -> None:
        self._application = application
        self._root_path = root_path
        self._proxies = proxies

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        script_name = str(environ.get("SCRIPT_NAME") or "")
        mounted = quote(script_name.rstrip("/").encode("latin-1")) if script_name else ""
        prefix = self._root_path or mounted or self._forwarded(environ)
        if prefix:
            environ = _without(environ, mounted)
            if prefix != mounted:
                environ = _without(environ, prefix)
            environ[PREFIX] = prefix
        return self._application(environ, start_response)

    def _forwarded(self, environ: dict[str, Any]) -> str:
        given = str(environ.get("HTTP_X_FORWARDED_PREFIX") or "").rstrip("/")
        trusted = bool(given) and within(str(environ.get("REMOTE_ADDR", "")), self._proxies)
        return given if trusted and fullmatch(ROOT_PATH, given) else ""


def install(tree: cherrypy.Application, root_path: str, proxies: Sequence[Network]) -> None:
    """Put the middleware in front of all others of the application."""
    tree.wsgiapp.pipeline.insert(0, ("dispatcher_prefix", partial(PathPrefix, root_path=root_path, proxies=proxies)))


def of_request() -> str:
    """The prefix of the links in the answer to the current request: empty, or a path such as ``/jobs``."""
    return str(getattr(cherrypy.serving.request, "wsgi_environ", {}).get(PREFIX, ""))


def _without(environ: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The environment of an application at the root; ``PATH_INFO`` never contains ``SCRIPT_NAME`` (PEP 3333)."""
    targets = {name: origin_form(str(environ[name])) for name in TARGETS if environ.get(name)}
    found = {name: target.removeprefix(prefix) for name, target in targets.items() if _is_below(target, prefix)}
    script_name, path = str(environ.get("SCRIPT_NAME") or ""), str(environ.get("PATH_INFO", ""))
    if path and not path.startswith("/"):  # gunicorn removes /lab from /label, too.
        found["PATH_INFO"] = script_name + path
    elif not script_name and (found or not targets) and _is_below(path, prefix):
        found["PATH_INFO"] = path.removeprefix(prefix)
    found = {name: value if value.startswith("/") else f"/{value}" for name, value in found.items()}
    return {**environ, **found, "SCRIPT_NAME": ""}


def _is_below(path: str, prefix: str) -> bool:
    return path.partition("?")[0] == prefix or path.startswith(f"{prefix}/")
