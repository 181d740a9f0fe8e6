"""A failure in any stage of a request is answered with a problem document without details, and logged as an error."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from http.cookies import SimpleCookie
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import cherrypy
import pytest
from cherrypy._cpreqbody import RequestBody

from pacifica.dispatcher.config.settings import AuthSettings
from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.web import application, dispatcher, problem_response
from pacifica.dispatcher.web.auth.guard import Guard
from pacifica.dispatcher.web.operation import Operation
from pacifica.dispatcher.web.request.body import BodyLimits
from pacifica.dispatcher.web.request_classes import (
    DispatcherApplication,
    DispatcherRequest,
    DispatcherResponse,
    Headers,
)

from .wsgi import respond

SECRET = "/srv/secret/lab.py"
FAILURE = RuntimeError(SECRET)
Patch = pytest.MonkeyPatch


@cherrypy.expose
class Tree:
    """``/``: returns the header ``X-A`` or ``Cookie``, fails, or streams."""

    def __init__(self) -> None:
        self.run: Callable[[], Any] = lambda: cherrypy.request.headers.get("X-A", "").encode("latin-1")

    @Operation("/", None, {200: ""}, body="Dispatch")
    def GET(self) -> Any:
        return self.run()

    POST = GET


@pytest.fixture
def tree() -> Tree:
    return Tree()


@pytest.fixture
def web(tree: Tree) -> Iterator[cherrypy.Application]:
    before = dict(cherrypy.config)
    guard: Any = Guard(AuthSettings(anonymous="anywhere"), Mock())
    counts: Any = SimpleNamespace(request=lambda *_: None)
    yield application.build(tree, guard, BodyLimits(1000, 1000), counts)
    cherrypy.config.clear()
    cherrypy.config.update(before)


def failing(*_: Any, **__: Any) -> Any:
    raise FAILURE


def hook(point: str) -> Callable[[cherrypy.Application, Tree, Patch], None]:
    return lambda web, _tree, _patch: web.merge({"/": {f"hooks.{point}.bad": failing}})


def patched(owner: Any, name: str, value: Any = failing) -> Callable[[cherrypy.Application, Tree, Patch], None]:
    return lambda _web, _tree, patch: patch.setattr(owner, name, value)


def handler(call: Callable[[], Any]) -> Callable[[cherrypy.Application, Tree, Patch], None]:
    return lambda _web, tree, _patch: setattr(tree, "run", call)


def twice(*steps: Callable[..., None]) -> Callable[[cherrypy.Application, Tree, Patch], None]:
    def both(web: cherrypy.Application, tree: Tree, patch: Patch) -> None:
        for step in steps:
            step(web, tree, patch)

    return both


def stream_that_fails() -> Iterator[bytes]:
    failing()
    yield b""


def streaming() -> Iterator[bytes]:
    cherrypy.response.stream = True
    return stream_that_fails()


FAILURES = {
    "get_serving": patched(DispatcherApplication, "get_serving"),
    "headers": patched(DispatcherRequest, "process_headers"),
    "dispatcher": patched(dispatcher, "walk"),
    "body made": patched(RequestBody, "__init__"),
    "namespaces": patched(DispatcherRequest, "namespaces", SimpleNamespace(copy=lambda: failing)),
    "on_start_resource": hook("on_start_resource"),
    "query": patched(DispatcherRequest, "process_query_string"),
    "before_request_body": hook("before_request_body"),
    "body read": patched(RequestBody, "process"),
    "before_handler": hook("before_handler"),
    "handler": handler(failing),
    "text in place of bytes": handler(lambda: "text"),
    "stream": handler(streaming),
    "response headers": patched(Headers, "output"),
    "before_finalize": hook("before_finalize"),
    "finalize": patched(DispatcherResponse, "finalize"),
    "on_end_resource": hook("on_end_resource"),
    "before_error_response": twice(handler(failing), hook("before_error_response")),
    "after_error_response": twice(handler(failing), hook("after_error_response")),
    "error_response": twice(handler(failing), patched(problem_response, "_respond")),
    "error page": twice(handler(partial(cherrypy.HTTPError(404))), patched(problem_response, "_body")),
    "throw_errors": twice(handler(failing), lambda web, *_: web.merge({"/": {"request.throw_errors": True}})),
    "traceback of a user's setting": twice(
        handler(failing), lambda web, *_: web.merge({"/": {"request.show_tracebacks": True}})
    ),
}


def is_problem(status: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    problem: dict[str, Any] = strict_json.loads(body)
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert status.startswith(f"{problem['status']} ")
    assert SECRET not in body.decode()
    assert "Traceback" not in body.decode()
    return problem


@pytest.mark.parametrize("stage", FAILURES)
def test_failure_in_any_stage_is_a_problem_and_in_the_error_log(
    web: cherrypy.Application, tree: Tree, monkeypatch: Patch, caplog: pytest.LogCaptureFixture, stage: str
) -> None:
    FAILURES[stage](web, tree, monkeypatch)
    with caplog.at_level(logging.ERROR):
        answer = respond(web, "POST", "/", b"{}", CONTENT_TYPE="application/json")
    assert is_problem(*answer)["type"] == "urn:pacifica-dispatcher:problem:internal"
    assert any(record.levelno >= logging.ERROR for record in caplog.records)


@pytest.mark.parametrize(
    "environ",
    [
        {"SERVER_PROTOCOL": "HTTP"},
        {"SERVER_PROTOCOL": "HTTP/x.y"},
        {"SERVER_PORT": "x"},
        {"REMOTE_PORT": "x"},
        {"wsgi.multithread": None},
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_unusable_environment_is_a_problem(
    web: cherrypy.Application, caplog: pytest.LogCaptureFixture, method: str, environ: dict[str, Any]
) -> None:
    status, headers, body = respond(web, method, "/", **environ)
    assert status == "500 Internal Server Error"
    if body or method == "GET":
        is_problem(status, headers, body)
    assert caplog.records


@pytest.mark.parametrize(
    "value", ["=?nonsense?q?abc?=", "=?utf-8?q?alice?=", "=?utf-8?b?!?=", "=?", "a\xffb", "=?a?b?c?=" * 900]
)
def test_header_is_read_as_it_was_sent(web: cherrypy.Application, value: str) -> None:
    status, _, body = respond(web, "GET", "/", HTTP_X_A=value)
    assert (status, body.decode("latin-1")) == ("200 OK", value)


@pytest.mark.parametrize("cookie", ["\\" * 32_000, 'a="' + "\\" * 32_000, "=", "a b=c", "a=1; =2; \0"])
def test_cookie_is_not_parsed(web: cherrypy.Application, monkeypatch: Patch, cookie: str) -> None:
    monkeypatch.setattr(SimpleCookie, "load", failing)
    assert respond(web, "GET", "/", HTTP_COOKIE=cookie)[0] == "200 OK"


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"HTTP_HOST": None}, 400),
        ({"RAW_URI": "http://[::1"}, 200),
        ({"RAW_URI": "http://[::1/nope"}, 404),
        ({"RAW_URI": "*"}, 200),
        ({"HTTP_CONTENT_DISPOSITION": "a; filename*=x", "CONTENT_LENGTH": "0"}, 200),
        ({"HTTP_ACCEPT": "a;q=x"}, 200),
        ({"QUERY_STRING": "%ff"}, 400),
        ({"QUERY_STRING": "&".join(["a=%ff"] * 2000)}, 414),
        ({"PATH_INFO": "/\xff\u20ac"}, 404),
    ],
)
def test_strange_request_is_answered(web: cherrypy.Application, environ: dict[str, Any], status: int) -> None:
    answer = respond(web, "GET", "/", **environ)
    assert answer[0].startswith(f"{status} ")
    if status != 200:
        is_problem(*answer)


@pytest.mark.parametrize(("raised", "status"), [(499, "400 Bad Request"), (599, "500 Internal Server Error")])
def test_status_that_http_does_not_register_is_a_problem(
    web: cherrypy.Application, tree: Tree, raised: int, status: str
) -> None:
    tree.run = partial(cherrypy.HTTPError(raised, "no"))
    answer = respond(web, "GET", "/")
    is_problem(*answer)
    assert answer[0] == status


def test_stream_that_fails_after_its_first_part_is_not_continued(web: cherrypy.Application, tree: Tree) -> None:
    def parts() -> Iterator[bytes]:
        yield b"first"
        failing()

    def run() -> Iterator[bytes]:
        cherrypy.response.stream = True
        return parts()

    def start(_status: str, _headers: Any, exc_info: Any = None) -> None:
        if exc_info is not None:
            raise exc_info[1]

    tree.run = run
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": "a", "SERVER_PROTOCOL": "HTTP/1.1"}
    flags = {"wsgi.url_scheme": "http", "wsgi.input": None, "wsgi.multithread": True, "wsgi.multiprocess": False}
    with closing(web({**environ, **flags}, start)) as response:
        received = iter(response)
        assert next(received) == b"first"
        with pytest.raises(RuntimeError):
            next(received)
