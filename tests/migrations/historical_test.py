"""The takeover of the historical table: each of its rows becomes a job."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from pacifica.dispatcher.core.errors import SchemaTooOld
from pacifica.dispatcher.core.job import Job, State, iso
from pacifica.dispatcher.core.job_filter import JobFilter
from pacifica.dispatcher.migrations import historical
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.events import EventStore
from pacifica.dispatcher.store.jobs import JobStore

from ..store.conftest import all_at_once
from .layouts import DATED, described, historical_rows, make_historical, old_ids

VALUES = {
    "4": 4,
    '{"a": [1, 2.5, null, "\u00fc"]}': {"a": [1, 2.5, None, "ü"]},
    '"text"': "text",
    "null": None,
    "Traceback (most recent call last)": "Traceback (most recent call last)",
    "NaN": "NaN",
    "": "",
}
"""Values of the old table, and the results that they become."""

KILLED_SYNC = Path(__file__).parent / "programs" / "killed_sync.py"


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a few rows several batches."""
    monkeypatch.setattr(historical, "BATCH", 2)


def dashed(name: str) -> str:
    """The canonical form of a UUID."""
    return str(UUID(name))


@pytest.mark.usefixtures("small_batches")
def test_every_historical_row_becomes_a_successful_job(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        spelled = old_ids(len(VALUES))
        spelled[0], spelled[1] = dashed(spelled[0]), spelled[1].upper()
        make_historical(database, dict(zip(spelled, VALUES, strict=True)), {(gone := old_ids(1)[0]): "5"})
        before = historical_rows(database)
        with pytest.raises(SchemaTooOld, match=r"it is version 0, .*pacifica-dispatcher-cmd dbsync"):
            database.wait_until_up(3, 60)
        database.sync()
        jobs = JobStore(database)
        for name, value in zip(spelled, VALUES.values(), strict=True):
            job = jobs.get(dashed(name))
            assert isinstance(job, Job)
            assert (job.state, job.task, job.result, job.args) == (State.SUCCESS, historical.TASK, value, [])
            assert (iso(job.created), iso(job.finished)) == DATED
            events = EventStore(database).between(0, 10**6, 9, job.uuid)
            assert [(event.kind, event.at) for event in events] == [("SUCCESS", job.finished)]
        assert jobs.get(dashed(gone)) is None
        first = jobs.search(JobFilter(), None, 4)[0]
        assert [job.uuid for job in first] == sorted((dashed(name) for name in spelled), reverse=True)[:4]
        assert historical_rows(database) == before

        database.sync(0)
        assert list(described(database)) == [historical.TABLE]
        assert historical_rows(database) == before
        database.sync()
        assert isinstance(jobs.get(dashed(spelled[0])), Job)


def test_historical_rows_without_uuid_or_time_do_no_harm(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Database(sqlite_url)) as database:
        caplog.set_level("INFO")
        make_historical(database, {"not a uuid": "1", (name := old_ids(1)[0]): "2"}, {old_ids(1)[0]: "3"})
        database.write(lambda db: db.execute_sql("UPDATE dispatchermodel SET created = '', updated = 'once'"))
        database.sync()
        job = JobStore(database).get(dashed(name))
        assert job is not None
        assert (job.result, job.created, job.finished) == (2, 0, 0)
        assert "'not a uuid' is not a UUID" in caplog.text
        assert "(left out: 1 marked as deleted, 1 without a UUID, 0 that are jobs already)" in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("small_batches")
def test_a_killed_sync_can_be_repeated_by_two_processes_at_once(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        names = old_ids(9)
        make_historical(database, dict.fromkeys(names, "1"))
        before = described(database)
        killed = subprocess.run([sys.executable, str(KILLED_SYNC), database_url], check=False, timeout=60)
        assert killed.returncode == -9
        assert (described(database) == before) != bool(database.mysql)
        with pytest.raises(SchemaTooOld):
            database.wait_until_up(1, 0.0)
        all_at_once(database, [database.sync, database.sync])
        jobs = JobStore(database).search(JobFilter(), None, 20)[0]
        assert sorted(job.uuid for job in jobs) == sorted(map(dashed, names))
        events = EventStore(database)
        assert [len(events.between(0, 10**6, 9, job.uuid)) for job in jobs] == [1] * len(names)
