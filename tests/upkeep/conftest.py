"""A process that does the upkeep of an SQLite database, with short times."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import Job, now
from pacifica.dispatcher.service.new_job import outbox_entry
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.event_counts import EventCountStore
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.leader import ElectionStore
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.workers import WorkerStore
from pacifica.dispatcher.upkeep.event_counter import EventCounter
from pacifica.dispatcher.upkeep.leader_election import Election
from pacifica.dispatcher.upkeep.lost_jobs import LostJobs
from pacifica.dispatcher.upkeep.lost_messages import LostMessages
from pacifica.dispatcher.upkeep.maintenance import Upkeep

from ..store.conftest import a_job, a_pruner
from ..store.job_steps import claim, queue_of

LEASE = 0.1
KEEP_KEYS = 60


class Broker:
    """The number of messages that each queue holds."""

    def __init__(self) -> None:
        self.ready_in: Mapping[str, int] = {}
        self.fails: Exception | None = None

    def queue_of(self, task: str, queue: str | None) -> str | None:
        if self.fails is not None:
            raise self.fails
        return None if task == "elsewhere" else queue or "default"

    def ready(self, name: str) -> int | None:
        return self.ready_in.get(name, 0)


class Process:
    """A process with its own election and upkeep."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.jobs, self.outbox, self.workers = JobStore(database), Outbox(database), WorkerStore(database)
        self.broker = Broker()
        self.election = Election(ElectionStore(database, "upkeep"), lease=LEASE)
        self.upkeep = Upkeep(
            self.jobs,
            election=self.election,
            lost_jobs=LostJobs(self.workers, queue_of(self.jobs), lease=LEASE),
            lost_messages=LostMessages(self.outbox, self.broker, republish=1),
            event_counter=EventCounter(EventCountStore(database)),
            pruner=a_pruner(database),
            interval=0.02,
            keep_keys=KEEP_KEYS,
        )

    def is_elected(self) -> bool:
        """Take a turn, and return whether some process is the leader then."""
        self.upkeep.turn()
        return bool(self.database.read(orm.Election.select().count))

    def add_published(self, seconds_ago: int, **columns: Any) -> Job:
        """Add a job whose message was confirmed that long ago."""
        job = a_job(**columns)
        self.jobs.add([job])
        self.outbox.mark_published([outbox_entry(job)], at=now() - seconds_ago * 1_000_000)
        return job

    def add_started(self, holder: str) -> Job:
        """Add a job that this worker has claimed."""
        job = a_job()
        self.jobs.add([job])
        assert claim(self.jobs, job, "t", holder=holder)
        return job

    def get(self, job: Job) -> Job:
        """Read the job."""
        found = self.jobs.get(job.uuid)
        assert found is not None
        return found


@pytest.fixture
def process(sqlite_url: str) -> Iterator[Process]:
    """A process with an empty database."""
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        made = Process(database)
        yield made
        made.upkeep.stop()
