"""Jobs that no worker can run, and rows that are stored in their final state, on each database."""

from pacifica.dispatcher.core.job import JobError, State, now
from pacifica.dispatcher.store.committed_event import CommittedEvent
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.event_counts import CountKey, EventCountStore
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.stats import jobs_without_worker

from .conftest import a_job, all_at_once
from .job_steps import claim, get, kinds, succeed

ERROR = JobError("ChordError", "Dependency 1 raised RuntimeError()", module="celery.exceptions", arguments=["x"])


def lacks(jobs: JobStore, uuid: str, worker: str, retries: int = 0) -> bool:
    return jobs.lacks_task(uuid, task="lab.convert", worker=worker, retries=retries, at=now())


def test_job_records_once_that_a_worker_lacks_its_task(database: Database, outbox: Outbox) -> None:
    events: list[CommittedEvent] = []
    jobs, job = JobStore(database, on_event=events.append), a_job(task="lab.convert")
    jobs.add([job])
    assert lacks(jobs, job.uuid, "one@lab")
    assert [lacks(jobs, job.uuid, worker) for worker in ("one@lab", "two@lab")] == [False, False]
    found = get(jobs, job)
    assert (found.state, found.error and found.error.type, found.due) == (State.PENDING, "UnknownTask", None)
    assert found.error is not None
    assert "Worker one@lab has no task lab.convert." in found.error.message
    assert kinds(jobs, job) == ["PENDING", "LACKS_TASK"]
    assert [event.kind for event in events] == ["PENDING", "LACKS_TASK"]
    assert jobs_without_worker(database, limit=10) == [("lab.convert", 1)]
    assert [kind.task for kind in outbox.waiting()] == ["lab.convert"], "its message counts as sent"
    assert claim(jobs, job)
    assert succeed(jobs, job)
    assert (get(jobs, job).error, jobs_without_worker(database, limit=10)) == (None, [])


def test_waiting_row_stays_in_its_queue_when_a_worker_lacks_its_task(database: Database) -> None:
    jobs, job = JobStore(database, row_queue=True), a_job()
    jobs.add([job])
    assert lacks(jobs, job.uuid, "one@lab")
    found = get(jobs, job)
    assert (found.due, found.published, found.error and found.error.type) == (job.due, None, "UnknownTask")


def test_old_message_or_a_started_job_says_nothing_about_the_task(jobs: JobStore) -> None:
    job = a_job()
    jobs.add([job])
    assert not lacks(jobs, job.uuid, "w", retries=1)
    assert claim(jobs, job)
    assert not lacks(jobs, job.uuid, "w")
    assert get(jobs, job).error is None


def test_job_that_never_runs_is_stored_in_its_final_state(database: Database) -> None:
    events: list[CommittedEvent] = []
    jobs, job = JobStore(database, on_event=events.append), a_job(state=State.FAILURE, error=ERROR, due=None)
    assert jobs.add_ended(job)
    assert (get(jobs, job).state, get(jobs, job).error) == (State.FAILURE, ERROR)
    assert (kinds(jobs, job), [event.kind for event in events]) == (["PENDING", "FAILURE"], ["FAILURE"])
    assert not claim(jobs, job)


def test_waiting_job_ends_and_a_started_one_does_not(jobs: JobStore) -> None:
    waiting, started = a_job(), a_job()
    jobs.add([waiting])
    jobs.add([started])
    assert claim(jobs, started)
    ends = {job.uuid: a_job(uuid=job.uuid, state=State.FAILURE, error=ERROR) for job in (waiting, started)}
    assert [jobs.add_ended(ends[job.uuid]) for job in (waiting, started)] == [True, False]
    assert [get(jobs, job).state for job in (waiting, started)] == [State.FAILURE, State.STARTED]
    assert kinds(jobs, started) == ["PENDING", "STARTED"]


def test_refused_messages_are_counted_by_many_workers_at_once(database: Database) -> None:
    counts = EventCountStore(database)
    all_at_once(database, [counts.add_refused_message] * 4)
    key = CountKey(None, "REFUSED_MESSAGE", None)
    assert counts.load().counts[key].events == 4
    counts.add_refused_message()
    assert counts.load().counts[key].events == 5
