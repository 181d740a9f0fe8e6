"""Upkeep forgets what does not count any more."""

from contextlib import closing

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import Job, State, new_uuid, now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.event_counts import EventCountStore
from pacifica.dispatcher.store.idempotency import Key
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.leader import ElectionStore
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.workers import WorkerStore
from pacifica.dispatcher.upkeep.event_counting import EventCounting
from pacifica.dispatcher.upkeep.leader_election import Election
from pacifica.dispatcher.upkeep.maintenance import Upkeep

from ..store.conftest import a_retention


class NoQueues:
    """A broker that nothing was sent to."""

    def queue_of(self, task: str, queue: str | None) -> str:
        return queue or task

    def ready(self, name: str) -> int | None:
        del name
        return None


def test_a_round_forgets_the_keys_that_are_older_than_they_are_kept(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        jobs = JobStore(database)
        for age in (30, 90):
            at = now() - age * 1_000_000
            job = Job(new_uuid(), "add", [1, 2], {}, State.PENDING, at, due=at, max_attempts=1)
            jobs.add([job], Key("me", f"{age} s old", "request", 0))
        upkeep = Upkeep(
            jobs, Outbox(database), WorkerStore(database), NoQueues(),
            retention=a_retention(database),
            counting=EventCounting(EventCountStore(database)),
            election=Election(ElectionStore(database, "upkeep"), lease=1),
            lease=1, interval=1, republish=60, keep_keys=60,
        )  # fmt: skip
        upkeep.round()
        assert database.read(orm.Idempotency.select().count) == 1
