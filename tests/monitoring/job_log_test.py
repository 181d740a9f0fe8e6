"""The log lines of committed changes, and their cost for the database."""

import logging

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.core.job import Job, JobError, State, now
from pacifica.dispatcher.logs import log_context
from pacifica.dispatcher.logs.formatters import FIELDS
from pacifica.dispatcher.monitoring import job_log
from pacifica.dispatcher.monitoring.job_log import JobLog, logger
from pacifica.dispatcher.store.committed_event import CANCEL, LATE, PROGRESS, CommittedEvent
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox

from ..store.conftest import a_job
from ..store.job_steps import claim, fail, lose, succeed

ERROR = JobError("ValueError", "no", "Traceback …")


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    """The fields of the lines."""
    return [getattr(record, FIELDS) for record in caplog.records if record.name == logger.name]


@pytest.fixture
def database(sqlite_url: str) -> Database:
    """An SQLite database with its tables."""
    opened = Database(sqlite_url)
    opened.wait_until_up(1, 0.0)
    return opened


@pytest.mark.parametrize(("level", "reads"), [(logging.INFO, 1), (logging.WARNING, 0)])
def test_a_row_is_read_only_for_a_line_that_is_written(
    caplog: pytest.LogCaptureFixture, level: int, reads: int
) -> None:
    read: list[str] = []
    log = JobLog(read.append)
    with caplog.at_level(level, logger.name):
        log(CommittedEvent(CANCEL, "u", 1))
    assert len(read) == len(caplog.records) == reads


def test_a_job_is_logged_from_dispatch_to_end(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    log = JobLog(JobStore(database).get)
    jobs, outbox = JobStore(database, on_event=log), Outbox(database, on_event=log)
    job = a_job(caller="ada", headers={"request_id": "r-1"})
    with caplog.at_level(logging.INFO, logger.name):
        jobs.add([job])
        outbox.mark_published(outbox.take(at=now(), lease=1000, limit=1), at=now())
        claim(jobs, job, "t")
        fail(jobs, job, "t", error=ERROR)
        claim(jobs, job, "u")
        succeed(jobs, job, "u", result=1)
    dispatched, sent, started, failed, dropped, late = logged(caplog)
    about = {"job": job.uuid, "task": "add", "request": "r-1"}
    assert dispatched == {"event": "dispatched", "caller": "ada", **about}
    assert sent == {"event": "sent", **about}
    waited = started.pop("waited")
    assert isinstance(waited, float)
    assert waited >= 0
    assert started == {"event": "started", "attempt": 1, "worker": "w", **about}
    ms = failed.pop("ms")
    assert isinstance(ms, float)
    assert ms > 0
    error = {"error": "ValueError", "reason": "no", "exception": "Traceback …"}
    assert failed == {"event": "failed", "attempt": 1, "worker": "w", **about, **error}
    assert dropped == {"event": "dropped", "job": job.uuid, "worker": "w"}
    assert late == {"event": "late", "job": job.uuid}


def test_jobs_that_were_claimed_together_are_logged_with_their_own_tasks(caplog: pytest.LogCaptureFixture) -> None:
    log = JobLog(lambda _: None)
    with caplog.at_level(logging.INFO, logger.name):
        for job, task in (("u", "add"), ("v", "mul")):
            headers = {"request_id": f"r-{job}"}
            log(CommittedEvent(State.STARTED, job, 1, "t", task=task, headers=headers, attempt=1, worker="w"))
        log(CommittedEvent(PROGRESS, "u", 1, "t", reported=True))
        for job in ("u", "v"):
            log(CommittedEvent(State.SUCCESS, job, 1, "t", reported=True))
    ended = logged(caplog)[2:]
    assert [(line["job"], line["task"], line["request"], line["attempt"]) for line in ended] == [
        ("u", "add", "r-u", 1),
        ("v", "mul", "r-v", 1),
    ]
    assert all("ms" in line for line in ended)


def test_a_change_by_another_process_is_logged_with_the_row(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    log = JobLog(JobStore(database).get)
    jobs, worker = JobStore(database, on_event=log), JobStore(database)
    lost, reported, waiting = (a_job() for _ in range(3))
    worker.add([lost, reported, waiting])
    for job in (lost, reported):
        claim(worker, job, "t")
    with caplog.at_level(logging.INFO, logger.name):
        assert lose(jobs, lost, "t", reason="its worker died")
        assert fail(jobs, reported, "t", error=ERROR)
        assert jobs.revoke(waiting.uuid, reason="cancelled", at=now())
    row = {"task": "add", "attempt": 1, "worker": "w"}
    error = {"error": "ValueError", "reason": "no", "exception": "Traceback …"}
    assert logged(caplog) == [
        {"event": "lost", "job": lost.uuid, **row, "reason": "its worker died"},
        {"event": "failed", "job": reported.uuid, **row, **error},
        {"event": "revoked", "job": waiting.uuid, "task": "add", "reason": "cancelled"},
    ]


def test_a_report_within_an_attempt_reads_no_row(caplog: pytest.LogCaptureFixture) -> None:
    def read(uuid: str) -> Job | None:
        raise AssertionError(uuid)

    log, bound = JobLog(read), log_context.bind(job="u", task="add")
    try:
        with caplog.at_level(logging.INFO, logger.name):
            log(CommittedEvent(State.SUCCESS, "u", 1, "token-of-the-parent-process", reported=True))
    finally:
        log_context.unbind(bound)
    assert logged(caplog) == [{"event": "succeeded", "job": "u"}]


def test_a_line_is_written_without_the_row_when_the_database_is_away(caplog: pytest.LogCaptureFixture) -> None:
    def read(uuid: str) -> Job | None:
        raise DatabaseUnavailable(uuid)

    with caplog.at_level(logging.INFO, logger.name):
        JobLog(read)(CommittedEvent(State.REVOKED, "u", 1, reason="expired"))
    assert logged(caplog) == [{"event": "revoked", "job": "u", "reason": "expired"}]


@pytest.mark.parametrize(
    "event", [CommittedEvent(PROGRESS, "u", 1, "t", reported=True), CommittedEvent(LATE, "u", 1, "t")]
)
def test_other_events_are_not_logged(caplog: pytest.LogCaptureFixture, event: CommittedEvent) -> None:
    with caplog.at_level(logging.INFO, logger.name):
        JobLog(lambda _: None)(event)
    assert logged(caplog) == []


def test_attempts_that_another_process_reports_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(job_log, "MOST_STARTED", 2)
    log = JobLog(lambda _: None)
    with caplog.at_level(logging.INFO, logger.name):
        for number in range(3):
            log(CommittedEvent(State.STARTED, f"job {number}", 1, "token", task="add"))
        for number in range(3):
            log(CommittedEvent(State.SUCCESS, f"job {number}", 2, "token", reported=True))
    assert ["ms" in fields for fields in logged(caplog)] == [False] * 3 + [False, True, True]
