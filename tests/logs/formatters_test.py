"""A log record becomes one line without tokens, and every key is documented."""

import contextvars
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.logs import log_context
from pacifica.dispatcher.logs.formatters import FIELDS, FORMATS, KEYS
from pacifica.dispatcher.monitoring.job_log import EVENTS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "logging.md").read_text(encoding="utf-8")
SECRETS = (
    "Basic\tsesame",
    "bearer \x00\x1fsesame",
    "Basic%09sesame",
    "access_token=sesame",
    "pd_abcdsesame",
    "amqp://u:sesame@host//",
    "redis://:p/ses@me/sesame@host,amqp://u:sesame@host",
)
HOSTILE = "a\nforged\r\x1b[2J\x9b\u2028\u202e\x7f\ud800 Bearer sesame access_token=sesame pd_abcdsesame"


def make_record(message: str, **attributes: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "pacifica.dispatcher.jobs", "levelname": "INFO", "msg": message, "created": 1.5, **attributes}
    )


def format_line(form: str, message: str, **attributes: Any) -> str:
    return FORMATS[form]().format(make_record(message, **attributes))


def test_plain_line_has_time_level_logger_message_and_ordered_fields() -> None:
    line = format_line(
        "plain", "job started", **{FIELDS: {"job": "u", "event": "started", "waited": 1.5, "caller": "a b"}}
    )
    assert line == '1970-01-01T00:00:01.500Z INFO    jobs: job started waited=1.5 job=u caller="a b"'


def test_json_line_has_every_field_under_its_key() -> None:
    line = json.loads(
        format_line("json", "job started", **{FIELDS: {"job": "u", "event": "started"}}, process=7, sample=5)
    )
    assert line == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "INFO",
        "logger": "pacifica.dispatcher.jobs",
        "process": 7,
        "message": "job started",
        "job": "u",
        "event": "started",
        "extra": {"sample": 5},
    }


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_text_breaks_no_line_and_shows_no_token(form: str) -> None:
    line = format_line(
        form, HOSTILE, **{FIELDS: {"path": HOSTILE, "caller": HOSTILE, "reason": HOSTILE}}, theirs=HOSTILE
    )
    assert line.isprintable()
    assert "sesame" not in line
    assert form == "plain" or json.loads(line)["caller"].startswith("a\nforged\r\x1b")


@pytest.mark.parametrize("form", FORMATS)
@given(st.text(), st.text())
def test_any_text_is_one_printable_line(form: str, message: str, caller: str) -> None:
    line = format_line(form, message, **{FIELDS: {"caller": caller}})
    assert len(line.splitlines()) == 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", line)


class Broken:
    """A value of a task that cannot be converted to text."""

    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


class Unreadable(dict[str, int]):
    """A mapping that fails when it is read."""

    def items(self) -> Any:
        raise RuntimeError


def deep() -> list[Any]:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "value",
    [
        {(1, 2): 3},
        {"a": Broken()},
        {Broken(): 1},
        Broken(),
        [float("nan")],
        10**5000,
        deep(),
        Unreadable(a=1),
        {1: {2}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_value_can_be_logged(form: str, value: Any) -> None:
    line = format_line(form, "it is logged", sample=value, **{FIELDS: {"job": "u", "reason": value}})
    assert line.isprintable()
    assert "it is logged" in line
    assert form == "plain" or json.loads(line, parse_constant=pytest.fail)["logger"] == "pacifica.dispatcher.jobs"


@pytest.mark.parametrize("form", FORMATS)
def test_message_whose_arguments_do_not_fit_is_logged_with_them(form: str) -> None:
    assert "%d of %d (with arguments that do not fit: ('x',))" in format_line(form, "%d of %d", args=("x",))
    assert "RuntimeError" in format_line(form, "of %s", args=(Broken(),))


@pytest.mark.parametrize("form", FORMATS)
def test_record_that_cannot_be_formatted_still_has_a_line(form: str) -> None:
    line = format_line(form, "x", name=None, levelname=Broken(), created="never", exc_info=(1, 2, 3))
    assert "This line cannot be shown" in line


@pytest.mark.parametrize("extra", [["a", "b"], {"level": "DEBUG", "message": "forged", "time": 0}, 5, None])
def test_extra_named_fields_replaces_no_field(extra: Any) -> None:
    bound = log_context.bind(job="u")
    try:
        record = make_record("x", fields=extra)
        assert log_context.Context().filter(record)
    finally:
        log_context.unbind(bound)
    line = json.loads(FORMATS["json"]().format(record))
    assert (line["level"], line["message"], line["job"], line["extra"]) == ("INFO", "x", "u", {"fields": extra})
    assert FORMATS["plain"]().format(record).startswith("1970-01-01T00:00:01.500Z INFO    jobs: x job=u fields=")


def test_no_field_replaces_a_fixed_key() -> None:
    line = json.loads(
        format_line("json", "x", **{FIELDS: {"time": 0, "level": "DEBUG", "logger": "l", "message": "m"}})
    )
    assert (line["time"], line["level"], line["message"]) == ("1970-01-01T00:00:01.500Z", "INFO", "x")
    bound = log_context.bind(job="u")
    try:
        assert log_context.Context().filter(make_record("x", **{FIELDS: ["a"]}))
    finally:
        log_context.unbind(bound)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("secret", SECRETS)
def test_secret_is_masked_in_every_part_of_a_line(form: str, secret: str) -> None:
    fields = {"reason": secret, "exception": f"Traceback:\n  Error: {secret}"}
    line = format_line(form, f"a {secret} b", theirs={"a": [secret]}, token="sesame", **{FIELDS: fields})
    assert "sesame" not in line
    assert line.count("***") >= 4
    assert form == "plain" or json.loads(line)["extra"]["token"] == "***"


@pytest.mark.parametrize("form", FORMATS)
def test_url_without_a_password_and_address_are_not_masked(form: str) -> None:
    message = "http://host:8080/dispatch of user:ada by celery@lab"
    assert message in format_line(form, message)


@pytest.mark.parametrize("form", FORMATS)
def test_traceback_belongs_to_its_line(form: str) -> None:
    try:
        raise RuntimeError("Oh\n1970-01-01T00:00:01.500Z INFO    jobs: forged\x1b")
    except RuntimeError:
        line = format_line(form, "it failed", exc_info=sys.exc_info())
    if form == "json":
        assert json.loads(line)["exception"].startswith("Traceback (most recent call last):\n")
    else:
        first, *more = line.split("\n")
        assert first.endswith("it failed")
        assert all(one.startswith("    ") for one in more)
        assert "\x1b" not in line


def test_record_gets_the_context_and_keeps_its_own_fields() -> None:
    contextvars.Context().run(check_context)  # An earlier test may have left a request in the context of this thread.


def check_context() -> None:
    bound = log_context.bind(request="r", job=None)
    try:
        log_context.note(job="u", caller="")
        record = make_record("x", **{FIELDS: {"request": "own"}})
        assert log_context.Context().filter(record)
        assert getattr(record, FIELDS) == {"request": "own", "job": "u"}
    finally:
        log_context.unbind(bound)
    log_context.note(job="of no request")
    assert log_context.current() == {}


@pytest.mark.parametrize("given", ["r-1", "00-4bf9:a.b_c+d/e=@~", "x" * 128])
def test_valid_request_id_is_used(given: str) -> None:
    assert log_context.request_id(given) == given


@pytest.mark.parametrize("given", [None, "", "x" * 129, "a b", "a\n", "-a", 'a"', "\x1b", "ü", "{}"])
def test_invalid_request_id_is_replaced(given: str | None) -> None:
    made = log_context.request_id(given)
    assert made != given
    assert re.fullmatch(r"[0-9a-f]{16}", made)


def test_every_key_and_event_is_documented() -> None:
    tables = PAGE.split("\n## Keys\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", tables, re.MULTILINE))
    assert rows == {**KEYS, **EVENTS}
