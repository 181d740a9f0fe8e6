"""CherryPy's request, response and application, which do work that is the same for all requests only once.

``request_class`` and ``response_class`` of an application are documented extension points of CherryPy.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from functools import lru_cache, partial
from http.cookies import SimpleCookie
from typing import Any

import cherrypy
from cherrypy._cpreqbody import RequestBody
from cherrypy._cprequest import HookMap, Request, Response, hookpoints
from cherrypy._cpwsgi import AppResponse
from cherrypy.lib import httputil
from cherrypy.lib.reprconf import NamespaceSet

from ..core.errors import BadRequest, DispatcherError
from ..core.permissions import Caller
from . import problem_response
from .middleware import last_resort
from .operation import Operation
from .request import body, query
from .request.body import BodyLimits


class CachedConfig(dict[str, Any]):
    """The configuration of a request, merged from CherryPy's and the application's, with its effects."""

    def __init__(self, common: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        super().__init__({**common, **own})
        self._sources = dict(common), dict(own)
        self.effects: ConfigEffects | None = None

    def is_made_of(self, common: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
        return self._sources[0] == common and self._sources[1] == own


class Hooks(HookMap):  # type: ignore[misc]
    """CherryPy's hooks, which skip a hook point without hooks."""

    def run(self, point: str) -> None:
        if self[point]:
            super().run(point)


class ConfigEffects:
    """The effects of a configuration on a request: its attributes, hooks, tools and error pages."""

    def __init__(self, before: Mapping[str, Any], request: Any) -> None:
        self._toolmaps, self._hooks, self._pages = request.toolmaps, request.hooks.copy(), request.error_page.copy()
        changed = {name: value for name, value in vars(request).items() if before.get(name, self) is not value}
        self._attributes = changed

    def apply(self, request: Any) -> None:
        vars(request).update(self._attributes)
        request.toolmaps, request.hooks, request.error_page = self._toolmaps, self._hooks.copy(), self._pages.copy()


class Namespaces(NamespaceSet):  # type: ignore[misc]
    """CherryPy's configuration namespaces, which evaluate a configuration once."""

    def copy(self) -> "Namespaces":
        """Itself: all requests share the namespaces, as nothing is added to them."""
        return self

    def __call__(self, config: Mapping[str, Any]) -> None:
        request = cherrypy.serving.request
        effects = getattr(config, "effects", None)
        if effects is not None:
            effects.apply(request)
            return
        request.hooks = request.hooks.copy()
        before = dict(vars(request))
        super().__call__(config)
        # Settings of the response and of the body apply to new objects in each request, so they are not cached.
        uncached = any(name.startswith(("response.", "request.body.")) for name in config)
        if isinstance(config, CachedConfig) and not uncached:
            config.effects = ConfigEffects(before, request)


class DispatcherRequest(Request):  # type: ignore[misc]
    """CherryPy's request, with the results of the dispatcher and of the guard.

    It answers every failure with a problem document, also one before the application's configuration is in force.
    """

    error_page: Mapping[Any, Any] = {"default": problem_response.page}
    namespaces = Namespaces(Request.namespaces)
    hooks = Hooks(hookpoints)
    operation: Operation | None = None
    """The operation that will answer; ``None`` for errors and ``OPTIONS``."""
    path_template: str | None = None
    """The path as declared, such as ``/status/{uuid}``; also for errors, if the path exists."""
    arguments: Sequence[str] = ()
    """The segments of the path after the resource."""
    caller: Caller | None = None
    """The caller that the guard has admitted."""
    form: Mapping[str, Sequence[str]] = {}
    """The fields of the form that a page has sent."""
    by_cookie = False
    """Whether a browser's cookie has identified the caller."""
    sees_tracebacks: Callable[[], bool] = staticmethod(lambda: False)
    """Whether the sender may see tracebacks of the jobs that its caller may read."""
    _responded = False
    _body: Any = None

    def run(self, *received: Any) -> Any:
        """Answer the request; if CherryPy can only answer with its own text, answer with a problem document."""
        response = super().run(*received)
        if not self._responded:
            response.output_status, response.header_list, body = last_resort.encoded()
            response.body = [] if self.method == "HEAD" else body
        return response

    def respond(self, path_info: str) -> None:
        """As CherryPy's, but the checks of this API are called between its stages: as tools, they would cost more.

        An error of this API is answered as an ``HTTPError`` is, so that the hooks at ``before_finalize`` run.
        """
        self.error_response = problem_response.respond_to_exception
        try:
            try:
                self._answer(path_info)
            except DispatcherError as error:
                problem_response.answer(error)
                self._finalize()
            except (cherrypy.HTTPRedirect, cherrypy.HTTPError) as error:
                error.set_response()
                self._finalize()
            finally:
                self.hooks.run("on_end_resource")
        except self.throws:
            raise
        except Exception:
            if self.throw_errors:
                raise
            self.handle_error()
        self._responded = True

    def _answer(self, path_info: str) -> None:
        self.toolmaps: dict[str, Any] = {}
        self.process_headers()
        self.get_resource(path_info)
        self.namespaces(self.config)
        self.app.check_caller()
        self.hooks.run("on_start_resource")
        query.check_readable()
        self.process_query_string()
        if self.method not in self.methods_with_bodies:
            self.process_request_body = False
        self.hooks.run("before_request_body")
        body.json_body(self.app.limits)
        if self.process_request_body:
            self.body.process()
        self.hooks.run("before_handler")
        query.check_declared()
        if self.handler:
            cherrypy.serving.response.body = self.handler()
        self._finalize()

    def _finalize(self) -> None:
        problem_response.trim()
        self.hooks.run("before_finalize")
        cherrypy.serving.response.finalize()

    @property
    def body(self) -> Any:
        """CherryPy's reader of the body, made when it is first used: most requests have no body."""
        if self._body is None:
            self._body = RequestBody(self.rfile, self.headers, request_params=self.params)
        return self._body

    @body.setter
    def body(self, value: Any) -> None:
        self._body = value

    def process_headers(self) -> None:
        """Take each header as it was sent: nothing is decoded (RFC 2047), and no cookie is parsed.

        CherryPy fails at some of them before the error handling of the application is in force, makes ``alice`` of the
        user ``=?utf-8?q?alice?=``, and takes quadratic time for a cookie in Python 3.11 and 3.12. Code that needs a
        cookie must read the header ``Cookie`` itself, in a bounded way.
        """
        self.headers = Headers()
        for name, value in self.header_list:
            dict.__setitem__(self.headers, name.title(), value.strip())
        # CherryPy parses it for uploads of files, which no route accepts, and fails at a malformed file name.
        self.headers.pop("Content-Disposition", None)
        if "Host" not in self.headers and self.protocol >= (1, 1):
            raise BadRequest("A request of HTTP/1.1 needs a header Host.")
        self.base = f"{self.scheme}://{self.headers.get('Host') or self.local.name or self.local.ip}"


class Headers(httputil.HeaderMap):  # type: ignore[misc]
    """CherryPy's headers, with a fast path for names in title case and for plain ASCII."""

    transform_key = staticmethod(lru_cache(maxsize=256)(httputil.HeaderMap.transform_key))

    def __getitem__(self, name: str) -> Any:
        return dict.__getitem__(self, self.transform_key(name))

    def __setitem__(self, name: str, value: Any) -> None:
        dict.__setitem__(self, self.transform_key(name), value)

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, self.transform_key(name))

    def get(self, name: str, default: Any = None) -> Any:
        return dict.get(self, self.transform_key(name), default)

    def output(self) -> list[tuple[bytes, bytes]]:
        return [
            (
                _encoded_name(name),
                value.encode()
                if type(value) is str and value.isascii() and value.isprintable()
                else self._encoded(value),
            )
            for name, value in self.items()
        ]

    def _encoded(self, value: Any) -> bytes:
        encoded: bytes = self.encode_header_item(value if isinstance(value, bytes) else str(value))
        return encoded


@lru_cache(maxsize=256)
def _encoded_name(name: str) -> bytes:
    encoded: bytes = Headers.encode_header_item(name)
    return encoded


class DispatcherResponse(Response):  # type: ignore[misc]
    """CherryPy's response, without the header ``Server`` that names CherryPy and its version."""

    def __init__(self) -> None:
        self.status = None
        self.header_list = None
        self._body: Any = []
        self.time = time.time()
        self.headers = Headers()
        dict.update(self.headers, {"Content-Type": "text/html", "Date": _date(int(self.time))})
        self.cookie = SimpleCookie()


class Answer(AppResponse):  # type: ignore[misc]
    """CherryPy's answer by WSGI, without a check of the type of each header, as ``Headers`` makes only bytes."""

    def __init__(self, environ: Mapping[str, Any], start_response: Callable[..., Any], application: Any) -> None:
        self.environ, self.cpapp = environ, application
        try:
            self.run()
            response = cherrypy.serving.response
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.header_list]
            self.iter_response = iter(response.body)
            self.write = start_response(response.output_status.decode("latin-1"), headers)
        except BaseException:
            self.close()
            raise


class DispatcherApplication(cherrypy.Application):  # type: ignore[misc]
    """CherryPy's application, which publishes to the bus only channels that have listeners."""

    request_class, response_class = DispatcherRequest, DispatcherResponse
    limits = BodyLimits(0, 0)
    check_caller: Callable[[], None] = staticmethod(lambda: None)
    """The guard."""
    problem_page: Callable[[Mapping[str, Any]], bytes] | None = None
    """Renders a problem document as a page, and sets its content type."""
    dashboard_mode = "off"
    arguments_bytes = 0
    """The most bytes of a job's arguments, which forms name."""

    def find_config(self, path: str, key: str, default: Any = None) -> Any:
        """As CherryPy's, which looks for a section of each part of the path."""
        if self.config.keys() - {"/", "global"}:
            return super().find_config(path, key, default)
        return self.config.get("/", {}).get(key, default)

    def get_serving(self, local: Any, remote: Any, scheme: str, sproto: str) -> tuple[Any, Any]:
        request, response = self.request_class(local, remote, scheme, sproto), self.response_class()
        request.app = self
        cherrypy.serving.load(request, response)
        if threading.get_ident() not in cherrypy.engine.thread_manager.threads:
            _publish("acquire_thread")
        _publish("before_request")
        return request, response

    def release_serving(self) -> None:
        """End the request after its response was sent."""
        _publish("after_request")
        try:
            cherrypy.serving.request.close()
        except Exception:  # noqa: BLE001 - a user's hook may raise anything, and the response is already sent
            cherrypy.log("Unhandled exception while ending a request.", traceback=True, severity=logging.ERROR)
        cherrypy.serving.clear()


def keep() -> Callable[[], object]:
    """Save this thread's request and response; the function returned restores them after other requests ran."""
    return partial(cherrypy.serving.load, cherrypy.serving.request, cherrypy.serving.response)


def _publish(channel: str) -> None:
    if cherrypy.engine.listeners.get(channel):
        cherrypy.engine.publish(channel)


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
