"""The output of a task is one log line for each printed line."""
# ruff: noqa: T201 - tasks print

import logging
import sys
import threading
from contextlib import redirect_stdout

import pytest

from pacifica.dispatcher.app import DispatcherApp
from pacifica.dispatcher.worker import printed_lines
from pacifica.dispatcher.worker.printed_lines import LineLogging, PrintedLines

LOGGER = logging.getLogger("tests.printed")


@pytest.fixture
def stream(caplog: pytest.LogCaptureFixture) -> PrintedLines:
    caplog.set_level(logging.WARNING)
    return PrintedLines(LOGGER, "WARNING")


def test_each_printed_line_is_one_log_line(stream: PrintedLines, caplog: pytest.LogCaptureFixture) -> None:
    with redirect_stdout(stream):
        print("tick", 1, {"a": 2})
        print("two\nlines")
        print()
        print("one", end="")
        print(" line", flush=True)
    assert caplog.messages == ["tick 1 {'a': 2}", "two", "lines", "one line"]


def test_line_without_an_end_is_logged_at_a_flush(stream: PrintedLines, caplog: pytest.LogCaptureFixture) -> None:
    with redirect_stdout(stream):
        print("half", end="")
        assert not caplog.messages
        printed_lines.flush()
        print("other", end="", flush=True)
    assert caplog.messages == ["half", "other"]


def test_threads_do_not_share_a_line(stream: PrintedLines, caplog: pytest.LogCaptureFixture) -> None:
    with redirect_stdout(stream):
        print("mine", end="")
        other = threading.Thread(target=lambda: print("theirs"))
        other.start()
        other.join()
        print()
    assert caplog.messages == ["theirs", "mine"]


def test_line_that_does_not_end_is_logged_in_parts(stream: PrintedLines, caplog: pytest.LogCaptureFixture) -> None:
    assert stream.write("x" * 100_000) == 100_000
    assert len(caplog.messages) == 1


def test_worker_redirects_both_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    app = DispatcherApp.__new__(DispatcherApp)
    assert app.log_cls.endswith(":LineLogging")
    LineLogging.redirect_stdouts_to_logger(LineLogging.__new__(LineLogging), LOGGER, "WARNING")
    assert isinstance(sys.stdout, PrintedLines)
    assert isinstance(sys.stderr, PrintedLines)
    assert sys.stdout is not sys.stderr
