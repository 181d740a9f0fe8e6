"""A body is refused by its size before it is parsed, and a batch is parsed item by item."""

import json
from collections.abc import Mapping
from typing import Any
from unittest.mock import Mock

import cherrypy
import pytest

from pacifica.dispatcher.config.settings import AuthSettings
from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.permissions import Caller
from pacifica.dispatcher.service.batch_items import DispatchItem
from pacifica.dispatcher.web import application
from pacifica.dispatcher.web.auth.guard import Guard
from pacifica.dispatcher.web.operation import Operation
from pacifica.dispatcher.web.representations import as_json
from pacifica.dispatcher.web.request.body import BodyLimits
from pacifica.dispatcher.web.request.dispatch_body import read_batch
from pacifica.dispatcher.web.request.ndjson import MAX_EMPTY_LINES, NDJSON

from ..wsgi import respond

LIMITS = BodyLimits(batch=100_000, item=1000)
EVERYONE: Any = Mock(spec=Caller, may=lambda *_: True)


@cherrypy.expose
class Single:
    """``/single``: a body for one job, or none."""

    @Operation("/single", None, {200: "object"}, body="Dispatch")
    def POST(self) -> bytes:
        return as_json(cherrypy.request.json)


@cherrypy.expose
class Batch:
    """``/``: returns for each item its first argument, or the error."""

    def __init__(self) -> None:
        self.single = Single()

    @Operation("/", None, {200: "object"}, body=f"Batch, {NDJSON} Batch")
    def POST(self) -> bytes:
        items = read_batch(cherrypy.request.json, EVERYONE)
        return as_json([item.args[0] if isinstance(item, DispatchItem) else str(item) for item in items])


@pytest.fixture(scope="module")
def api() -> cherrypy.Application:
    guard: Any = Guard(AuthSettings(anonymous="anywhere"), Mock())
    counts: Any = Mock()
    return application.build(Batch(), guard, LIMITS, counts)


def post(api: cherrypy.Application, path: str, body: str | bytes, media: str = "application/json") -> tuple[int, Any]:
    raw = body.encode() if isinstance(body, str) else body
    status, _, answer = respond(api, "POST", path, raw, CONTENT_TYPE=media)
    return int(status[:3]), json.loads(answer)


def detail(answer: tuple[int, Mapping[str, Any]]) -> tuple[int, str]:
    return answer[0], answer[1]["detail"]


def an_item(value: Any) -> dict[str, Any]:
    return {"task": "add", "args": [value]}


def test_body_of_one_job_is_refused_by_its_size_before_it_is_parsed(
    api: cherrypy.Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strict_json, "loads", Mock(side_effect=AssertionError))
    found = detail(post(api, "/single", "[" + "1," * 600 + "1]"))
    assert found == (413, "The body is larger than 1000 bytes, the limit set by arguments_bytes for one job.")


def test_limits_follow_the_settings() -> None:
    assert BodyLimits.of(16_777_216, 1_048_576) == (16_777_216, 2_162_688)
    assert BodyLimits.of(100, 1_048_576) == (100, 100)


@pytest.mark.parametrize("separator", [",", " ,\n "])
def test_large_batch_is_read_item_by_item(api: cherrypy.Application, separator: str) -> None:
    items = [json.dumps(an_item(number)) for number in range(2000)]
    assert post(api, "/", f" [{separator.join(items)}]\n") == (200, list(range(2000)))


@pytest.mark.parametrize("value", [{f"k{number}": 1 for number in range(200)}, "x" * 1000, [[]] * 500])
def test_item_that_is_too_large_for_one_job_refuses_its_array(api: cherrypy.Application, value: Any) -> None:
    found = detail(post(api, "/", json.dumps([an_item(1), an_item(value), an_item(2)])))
    assert found == (413, "The body is not accepted: item 2 has more than 1000 characters.")


def test_line_that_is_too_large_for_one_job_is_the_fault_of_its_item(api: cherrypy.Application) -> None:
    lines = "\n".join(json.dumps(an_item(value)) for value in (1, "x" * 1000, 2))
    assert post(api, "/", lines, NDJSON) == (200, [1, "The line is longer than 1000 bytes.", 2])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("5", "The body must be a JSON array, or NDJSON with the Content-Type application/x-ndjson."),
        ('{"a": %s}' % ("1" * 2000), "The body must be a JSON array."),
        ("[1, 2", "The body is not JSON: Expecting ',' delimiter at line 1, column 6."),
        ("[x]", "The body is not JSON: Expecting value at line 1, column 2."),
        ("[1] 1", "The body is not JSON: Extra data at line 1, column 5."),
        (b"[\xff]", "The body is not JSON: it is not UTF-8."),
        ("nope", "The body is not JSON: Expecting value at line 1, column 1."),
    ],
)
def test_batch_that_is_no_array_is_refused(api: cherrypy.Application, body: str | bytes, expected: str) -> None:
    assert detail(post(api, "/", body)) == (400, expected)


def test_empty_lines_are_limited(api: cherrypy.Application) -> None:
    line = json.dumps(an_item(1))
    assert post(api, "/", "\n" * MAX_EMPTY_LINES + line, NDJSON) == (200, [1])
    status, sentence = detail(post(api, "/", "\n" * (MAX_EMPTY_LINES + 1) + line, NDJSON))
    assert (status, sentence) == (400, "The body has more than 10000 empty lines.")


@pytest.mark.parametrize(("path", "media"), [("/single", "application/json"), ("/", "application/json"), ("/", NDJSON)])
def test_integer_of_too_many_digits_is_refused(api: cherrypy.Application, path: str, media: str) -> None:
    def body(digits: int) -> str:
        value = f'{{"task": "add", "args": [{"9" * digits}]}}'
        return f"[{value}]" if (path, media) == ("/", "application/json") else value

    limits = LIMITS._replace(item=5000)
    api.limits = limits
    assert post(api, path, body(1000), media)[0] == 200
    found = json.dumps(post(api, path, body(1001), media)[1])
    assert "an integer has 1001 digits; 1000 are allowed" in found
    api.limits = LIMITS
