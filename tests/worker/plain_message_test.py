"""Plain Celery messages: which of them are jobs."""

from pacifica.dispatcher.core.job import State, new_uuid, now
from pacifica.dispatcher.store.purge import put_tombstones
from pacifica.dispatcher.worker.plain_message import PLAIN_FIELD

from .local_worker import LocalWorker


def test_message_of_a_purged_job_does_not_make_it_again(worker: LocalWorker) -> None:
    new, purged = new_uuid(), new_uuid()
    worker.container.database.write(lambda db: put_tombstones(db, [purged], now()))
    for uuid in (new, purged):
        plain = {"id": uuid, "task": "add", "retries": 0, PLAIN_FIELD: {"eta": None, "expires": None}}
        worker.run_message(plain, [1, 2])
    assert worker.outcome(new) == (State.SUCCESS, 3)
    assert worker.container.jobs.get(purged) is None
