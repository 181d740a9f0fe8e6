"""What the lines of moves cost the database."""

import logging
from typing import Any

import pytest

from pacifica.dispatcher.monitoring.job_log import ToldJobs, logger
from pacifica.dispatcher.store.jobs import JobStore


@pytest.mark.parametrize(("level", "reads"), [(logging.INFO, 1), (logging.WARNING, 0)])
def test_a_row_is_read_for_a_line_that_will_be_written_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, level: int, reads: int
) -> None:
    read: list[str] = []
    jobs: Any = object.__new__(ToldJobs)
    monkeypatch.setattr(JobStore, "ask_to_cancel", lambda *_, **__: True)
    monkeypatch.setattr(ToldJobs, "get", lambda _, uuid: read.append(uuid))
    with caplog.at_level(level, logger.name):
        assert jobs.ask_to_cancel("u", at=1)
    assert len(read) == len(caplog.records) == reads
