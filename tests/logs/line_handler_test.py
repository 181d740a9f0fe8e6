"""A line without a record is the line of its record, and is used only where nothing else would see the record."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from pacifica.dispatcher.logs import log_context
from pacifica.dispatcher.logs.formatters import FIELDS, FORMATS
from pacifica.dispatcher.logs.line_handler import LineHandler, log_fields

NAME = "pacifica.dispatcher.line_handler_test"
FIELDS_OF_A_LINE: dict[str, Any] = {"event": "failed", "job": "u", "ms": 1.5, "caller": "a b", "exception": "one\ntwo"}


class Log:
    """A logger with one handler, and the records that were made for it."""

    def __init__(self, form: str) -> None:
        self.stream = io.StringIO()
        self.logger = logging.Logger(NAME, logging.INFO)  # noqa: LOG001 - of this test alone
        self.handler = LineHandler(self.stream, FORMATS[form]())
        self.logger.addHandler(self.handler)
        self.records: list[logging.LogRecord] = []

    def lines(self, level: int = logging.INFO, fields: dict[str, Any] | None = None) -> str:
        """Log once; return what was written, without the time, which differs."""
        self.stream.seek(0)
        self.stream.truncate()
        log_fields(self.logger, level, "job %s", ("failed",), FIELDS_OF_A_LINE if fields is None else fields)
        text = self.stream.getvalue()
        return text.partition("Z")[2] if text.startswith(("1", "2")) else text.partition('"level"')[2]

    def keep(self, record: logging.LogRecord) -> bool:
        self.records.append(record)
        return True


@pytest.fixture(params=FORMATS)
def log(request: pytest.FixtureRequest) -> Log:
    return Log(request.param)


@pytest.fixture
def bound() -> Iterator[None]:
    token = log_context.bind(request="r-1", task="add")
    yield
    log_context.unbind(token)


@pytest.mark.usefixtures("bound")
@pytest.mark.parametrize(
    "fields", [FIELDS_OF_A_LINE, {}, {"caller": "Bearer sesame"}, {"bytes": 10**5000}], ids=range(4)
)
def test_line_without_a_record_is_the_line_of_its_record(log: Log, fields: dict[str, Any]) -> None:
    direct = log.lines(fields=fields)
    log.logger.addFilter(log.keep)
    assert log.lines(fields=fields) == direct
    assert direct.endswith("\n")
    assert [vars(record)[FIELDS]["request"] for record in log.records] == ["r-1"]


def test_filter_of_the_handler_and_of_the_logger_see_a_record(log: Log) -> None:
    log.handler.addFilter(log.keep)
    log.lines()
    log.handler.removeFilter(log.keep)
    log.logger.addFilter(log.keep)
    log.lines()
    assert [record.getMessage() for record in log.records] == ["job failed"] * 2


def test_another_formatter_and_a_second_handler_get_a_record(log: Log) -> None:
    other = LineHandler(io.StringIO(), FORMATS["plain"]())
    log.logger.addHandler(other)
    assert log.lines()
    assert "job failed" in other.stream.getvalue()
    log.logger.removeHandler(other)
    log.handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.lines()
    assert log.stream.getvalue() == "INFO job failed\n"


def test_handler_of_a_parent_is_used_and_levels_are_kept(log: Log) -> None:
    child = logging.Logger(f"{NAME}.child", logging.INFO)  # noqa: LOG001 - of this test alone
    child.parent = log.logger
    log_fields(child, logging.INFO, "a", (), {})
    log_fields(child, logging.DEBUG, "b", (), {})
    log.handler.setLevel(logging.ERROR)
    log_fields(child, logging.INFO, "c", (), {})
    assert log.stream.getvalue().count("\n") == 1


def test_record_factory_of_a_program_is_used(log: Log) -> None:
    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(lambda *args, **kwargs: (log.keep(record := factory(*args, **kwargs)), record)[1])
    try:
        log.lines()
    finally:
        logging.setLogRecordFactory(factory)
    assert [record.getMessage() for record in log.records] == ["job failed"]


def test_stream_that_fails_ends_no_request(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    log.stream.close()
    log_fields(log.logger, logging.INFO, "job failed", (), {})
    assert "I/O operation on closed file" in capsys.readouterr().err
