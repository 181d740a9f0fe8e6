"""The log lines that ``up`` shows."""

import json
import logging

import pytest

from pacifica.dispatcher.cli.log_selection import LogSelection, text_of
from pacifica.dispatcher.logs.formatters import FORMATS
from pacifica.dispatcher.logs.line_handler import log_fields


def lines(form: str, level: int, logger: str, text: str, **fields: object) -> list[str]:
    """The lines that this logger writes in this form."""
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.extend(FORMATS[form]().format(record).splitlines())

    class Own(logging.Logger):
        """Not known to other tests."""

    own = Own(logger)
    own.addHandler(Handler())
    log_fields(own, level, text, (), dict(fields))
    return found


@pytest.mark.parametrize("form", ["plain", "json"])
@pytest.mark.parametrize(
    ("level", "logger", "text", "shown"),
    [
        (logging.INFO, "pacifica.dispatcher.access", "GET /status 200", False),
        (logging.INFO, "pacifica.dispatcher.jobs", "job dispatched", False),
        (logging.INFO, "pacifica.dispatcher.jobs", "job started", False),
        (logging.INFO, "pacifica.dispatcher.jobs", "job succeeded", True),
        (logging.INFO, "pacifica.dispatcher.jobs", "job revoked", True),
        (logging.WARNING, "lab", "the lamp is old", True),
        (logging.ERROR, "pacifica.dispatcher.jobs", "job failed", True),
    ],
)
def test_warnings_and_the_end_of_each_job_are_shown(form: str, level: int, logger: str, text: str, shown: bool) -> None:
    (line,) = lines(form, level, logger, text)
    assert LogSelection(verbose=False).shows(line) is shown
    assert LogSelection(verbose=True).shows(line)
    assert LogSelection(verbose=False).shows_of_start(line) is (level > logging.INFO)


def test_traceback_is_shown_with_its_line_and_hidden_with_it() -> None:
    selection = LogSelection(verbose=False)
    for level, shown in ((logging.ERROR, True), (logging.INFO, False)):
        both = lines("plain", level, "lab", "it failed", exception="Traceback\n  File x")
        assert [selection.shows(line) for line in both] == [shown] * 3


def test_last_words_of_a_process_are_shown_after_a_hidden_line() -> None:
    selection = LogSelection(verbose=False)
    selection.shows(lines("plain", logging.INFO, "lab", "quiet")[0])
    assert [selection.shows(line) for line in ("Fatal Python error: Aborted", "  File x")] == [True, True]
    assert not selection.shows_of_start("Fatal Python error: Aborted")


def test_line_that_only_begins_like_json_is_shown() -> None:
    assert LogSelection(verbose=False).shows('{"time": broken')


def test_same_warning_of_two_processes_has_one_text() -> None:
    first, second = (f"2026-01-01T00:00:0{i}.000Z WARNING app: lab.py has 1 function" for i in (1, 2))
    assert text_of(first) == text_of(second) == "WARNING lab.py has 1 function"
    assert text_of(json.dumps({"time": "t", "level": "INFO", "message": "m"})) == "INFO m"
