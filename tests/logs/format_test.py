"""The form of a line: one line whatever a client sends, no token, and every key documented."""

import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher import logcontext
from pacifica.dispatcher.journal import EVENTS
from pacifica.dispatcher.logformat import FIELDS, FORMATS, KEYS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "logging.md").read_text(encoding="utf-8")
HOSTILE = "a\nforged\r\x1b[2J\x9b\u2028\u202e\x7f\ud800 Bearer sesame access_token=sesame pd_abcdsesame"


def a_record(message: str, **attributes: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "pacifica.dispatcher.jobs", "levelname": "INFO", "msg": message, "created": 1.5, **attributes}
    )


def a_line(form: str, message: str, **attributes: Any) -> str:
    return FORMATS[form]().format(a_record(message, **attributes))


def test_a_plain_line_has_time_level_logger_message_and_the_fields_in_their_order() -> None:
    line = a_line("plain", "job started", fields={"job": "u", "event": "started", "waited": 1.5, "caller": "a b"})
    assert line == '1970-01-01T00:00:01.500Z INFO    jobs: job started waited=1.5 job=u caller="a b"'


def test_a_json_line_has_every_field_under_its_key() -> None:
    line = json.loads(a_line("json", "job started", fields={"job": "u", "event": "started"}, process=7, sample=5))
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
def test_what_a_client_sends_breaks_no_line_and_shows_no_token(form: str) -> None:
    line = a_line(form, HOSTILE, fields={"path": HOSTILE, "caller": HOSTILE, "reason": HOSTILE}, theirs=HOSTILE)
    assert line.isprintable()
    assert "sesame" not in line
    assert form == "plain" or json.loads(line)["caller"].startswith("a\nforged\r\x1b")


@pytest.mark.parametrize("form", FORMATS)
@given(st.text(), st.text())
def test_any_text_is_one_printable_line(form: str, message: str, caller: str) -> None:
    line = a_line(form, message, fields={"caller": caller})
    assert len(line.splitlines()) == 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", line)


@pytest.mark.parametrize("form", FORMATS)
def test_a_traceback_belongs_to_its_line(form: str) -> None:
    try:
        raise RuntimeError("Oh\n1970-01-01T00:00:01.500Z INFO    jobs: forged\x1b")
    except RuntimeError:
        line = a_line(form, "it failed", exc_info=sys.exc_info())
    if form == "json":
        assert json.loads(line)["exception"].startswith("Traceback (most recent call last):\n")
    else:
        first, *more = line.split("\n")
        assert first.endswith("it failed")
        assert all(one.startswith("    ") for one in more)
        assert "\x1b" not in line


def test_a_record_is_given_what_its_thread_is_at_and_keeps_what_it_says_itself() -> None:
    bound = logcontext.bind(request="r", job=None)
    try:
        logcontext.note(job="u", caller="")
        record = a_record("x", **{FIELDS: {"request": "own"}})
        assert logcontext.Context().filter(record)
        assert getattr(record, FIELDS) == {"request": "own", "job": "u"}
    finally:
        logcontext.unbind(bound)
    logcontext.note(job="nobody's")
    assert logcontext.current() == {}


@pytest.mark.parametrize("given", ["r-1", "00-4bf9:a.b_c+d/e=@~", "x" * 128])
def test_a_sane_request_id_is_taken(given: str) -> None:
    assert logcontext.request_id(given) == given


@pytest.mark.parametrize("given", [None, "", "x" * 129, "a b", "a\n", "-a", 'a"', "\x1b", "ü", "{}"])
def test_any_other_request_id_is_replaced(given: str | None) -> None:
    made = logcontext.request_id(given)
    assert made != given
    assert re.fullmatch(r"[0-9a-f]{16}", made)


def test_every_key_and_every_event_is_documented() -> None:
    tables = PAGE.split("\n## Keys\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", tables, re.MULTILINE))
    assert rows == {**KEYS, **EVENTS}
