"""The verbs of the service, on a real record."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pacifica.dispatcher.core.dispatch_options import DispatchOptions
from pacifica.dispatcher.core.errors import (
    AlreadyFinal,
    BadArguments,
    BadRequest,
    DatabaseUnavailable,
    KeyReused,
    PurgedJob,
    UnknownJob,
    UnknownTask,
)
from pacifica.dispatcher.core.job import Job, OutboxEntry, State, new_uuid, now
from pacifica.dispatcher.core.permissions import EVERY_JOB, Visibility
from pacifica.dispatcher.core.registry import Registry, TaskSpec
from pacifica.dispatcher.service import batch_items
from pacifica.dispatcher.service.batch_items import DispatchItem
from pacifica.dispatcher.service.new_job import HAND_OVER, DispatchContext, JobFactory
from pacifica.dispatcher.service.verbs import Service
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.stats import unfinished_jobs

from ..store.conftest import a_job, a_pruner, a_waiting
from ..store.job_steps import claim, lose, succeed

HOUR = timedelta(hours=1)


def add(x: int, y: int = 0) -> int:
    """A task."""
    return x + y


HandedOver = list[OutboxEntry]


@pytest.fixture
def handed_over() -> HandedOver:
    """The jobs that the service has handed over to the relay."""
    return []


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """A fresh SQLite file with its tables."""
    with closing(Database(sqlite_url)) as opened:
        opened.wait_until_up(1, 0.0)
        yield opened


@pytest.fixture
def service(database: Database, handed_over: HandedOver) -> Service:
    """A service with the one task ``add``."""
    return Service(
        Registry([TaskSpec("add", add)]),
        JobStore(database),
        a_waiting(database),
        JobFactory(max_attempts=3, keep_keys=86_400),
        hand_over=handed_over.append,
    )


def dispatch(service: Service, options: Mapping[str, Any] | None = None, **context: Any) -> Job:
    """Dispatch ``add(2, y=2)``."""
    call = service.registry["add"].bind([2], {"y": 2})
    return service.dispatch(call, DispatchOptions(**options or {}), DispatchContext(**context))


def start(service: Service, job: Job) -> None:
    """Have a worker claim the job, with the token "t"."""
    assert claim(service.jobs, job, "t")


def test_dispatched_job_is_stored_before_it_is_handed_over(service: Service) -> None:
    seen: list[Any] = []
    job = dispatch(replace(service, hand_over=lambda job: seen.append(service.jobs.get(job.uuid))))
    assert seen == [job] == [service.status(job.uuid, EVERY_JOB)]
    assert (job.state, job.args, job.kwargs, job.max_attempts) == (State.PENDING, [2], {"y": 2}, 3)


def test_new_job_is_at_first_published_only_by_its_own_process(service: Service, handed_over: HandedOver) -> None:
    job = dispatch(service)
    assert job.due == job.created + HAND_OVER
    assert [sent.uuid for sent in handed_over] == [job.uuid]


def test_options_are_stored_with_the_job(service: Service) -> None:
    end = datetime.now(UTC) + HOUR
    job = dispatch(service, {"queue": "q", "priority": 9, "expires": end, "max_attempts": 1})
    assert (job.queue, job.priority, job.max_attempts) == ("q", 9, 1)
    assert service.status(job.uuid, EVERY_JOB).expires == job.expires is not None


@pytest.mark.parametrize("options", [{"countdown": 3600.0}, {"eta": datetime.now(UTC) + HOUR}])
def test_job_with_a_future_eta_waits_in_the_outbox(
    service: Service, handed_over: HandedOver, options: dict[str, Any]
) -> None:
    job = dispatch(service, options)
    assert job.eta == job.due is not None
    assert handed_over == []


def test_job_with_a_past_eta_starts_at_once(service: Service, handed_over: HandedOver) -> None:
    assert dispatch(service, {"eta": datetime.now(UTC) - HOUR}).eta is None
    assert dispatch(service, {"countdown": 0.0}).eta is None
    assert len(handed_over) == 2


def test_every_verb_raises_unknown_job(service: Service) -> None:
    for verb in (service.status, service.events, service.cancel, service.retry):
        with pytest.raises(UnknownJob):
            verb(new_uuid(), EVERY_JOB)


def test_waiting_job_is_revoked_at_once(service: Service) -> None:
    job = service.cancel(dispatch(service).uuid, EVERY_JOB)
    assert job.state is State.REVOKED
    with pytest.raises(AlreadyFinal, match="REVOKED"):
        service.cancel(job.uuid, EVERY_JOB)


def test_cancellation_of_a_started_job_may_be_repeated(service: Service) -> None:
    job = dispatch(service)
    start(service, job)
    for _ in range(2):
        asked = service.cancel(job.uuid, EVERY_JOB)
        assert (asked.state, asked.cancel) == (State.STARTED, True)
    assert [event.kind for event in service.events(job.uuid, EVERY_JOB)] == ["PENDING", "STARTED", "CANCEL"]


def test_final_job_is_not_cancelled(service: Service) -> None:
    job = dispatch(service)
    start(service, job)
    succeed(service.jobs, job, "t")
    with pytest.raises(AlreadyFinal, match="SUCCESS"):
        service.cancel(job.uuid, EVERY_JOB)


def test_job_that_is_put_back_during_its_cancellation_is_revoked(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = dispatch(service)
    start(service, job)
    ask = JobStore.ask_to_cancel

    def too_late(jobs: JobStore, uuid: str, *, at: int) -> bool:
        monkeypatch.setattr(JobStore, "ask_to_cancel", ask)
        assert lose(jobs, uuid, "t", reason="its worker was stopped", at=at)
        return ask(jobs, uuid, at=at)

    monkeypatch.setattr(JobStore, "ask_to_cancel", too_late)
    assert service.cancel(job.uuid, EVERY_JOB).state is State.REVOKED


def test_retry_is_a_new_job_with_the_same_arguments_and_options(service: Service) -> None:
    old = dispatch(service, {"queue": "q", "priority": 1, "max_attempts": 2})
    service.cancel(old.uuid, EVERY_JOB)
    new = service.retry(old.uuid, EVERY_JOB)
    assert new.uuid != old.uuid
    assert new.replay_of == old.uuid
    for name in ("task", "args", "kwargs", "queue", "priority", "max_attempts"):
        assert getattr(new, name) == getattr(old, name)
    assert new.state is State.PENDING


def test_retry_of_a_replaced_job_is_the_call_that_was_dispatched(service: Service) -> None:
    job = dispatch(service)
    for token, before in (("t1", {"task": "mul", "args": [5, 6]}), ("t2", {"task": "add", "args": [7, 8]})):
        retries = service.jobs.get(job.uuid).retries  # type: ignore[union-attr]
        claim(service.jobs, job, token, retries=retries)
        assert service.jobs.vacate(job.uuid, token=token, until=now(), at=now(), before={**before, "kwargs": {}})
        service.jobs.reoccupy(job.uuid, token=token, holder="h")
        lose(service.jobs, job, token, reason="its child ended")
    service = replace(
        service, registry=Registry([TaskSpec("add", lambda x, y: x + y), TaskSpec("mul", lambda x, y: 0)])
    )
    new = service.retry(job.uuid, EVERY_JOB)
    assert (new.task, new.args) == ("mul", [5, 6])
    with pytest.raises(UnknownJob):
        service.retry(job.uuid, Visibility(("add",)))


def test_job_of_an_internal_task_such_as_map_can_be_repeated(service: Service) -> None:
    job = dispatch(service)
    service = replace(service, registry=Registry([], internal=[TaskSpec("add", lambda x, y: x + y)]))
    assert service.retry(job.uuid, EVERY_JOB).replay_of == job.uuid


def test_retry_is_refused_when_the_task_no_longer_takes_the_arguments(service: Service) -> None:
    job = dispatch(service)
    with pytest.raises(UnknownTask):
        replace(service, registry=Registry([])).retry(job.uuid, EVERY_JOB)
    with pytest.raises(BadArguments):
        replace(service, registry=Registry([TaskSpec("add", lambda: None)])).retry(job.uuid, EVERY_JOB)


def test_same_key_is_the_same_job_and_is_handed_over_once(service: Service, handed_over: HandedOver) -> None:
    first = dispatch(service, idempotency_key="k", caller="me")
    assert dispatch(service, idempotency_key="k", caller="me") == first
    assert dispatch(service, idempotency_key="k", caller="you").uuid != first.uuid
    assert len(handed_over) == 2
    with pytest.raises(KeyReused):
        dispatch(service, {"priority": 1}, idempotency_key="k", caller="me")


def test_idempotency_key_is_kept_for_the_configured_time(service: Service) -> None:
    first = dispatch(service, idempotency_key="k")
    forgetful = replace(service, new_jobs=JobFactory(max_attempts=3, keep_keys=-1.0))
    assert dispatch(forgetful, idempotency_key="k").uuid != first.uuid


def test_job_named_by_a_workflow_is_dispatched_once(service: Service) -> None:
    uuid = new_uuid()
    first = dispatch(service, uuid=uuid, headers={"link": [1]})
    assert first.uuid == uuid
    assert dispatch(service, uuid=uuid, headers={"link": [1]}) == service.status(uuid, EVERY_JOB)
    assert [event.kind for event in service.events(uuid, EVERY_JOB)] == ["PENDING"]


def test_job_named_by_a_workflow_is_not_dispatched_again_after_purge(
    service: Service, database: Database, handed_over: HandedOver
) -> None:
    job = dispatch(service, uuid=new_uuid())
    service.cancel(job.uuid, EVERY_JOB)
    pruner = a_pruner(database, revoked_seconds=60.0)
    assert [count.total() for count in pruner.purge({State.REVOKED: now()})] == [1]
    with pytest.raises(PurgedJob, match=job.uuid):
        dispatch(service, uuid=job.uuid)
    assert len(handed_over) == 1


def test_each_dispatch_is_counted_by_its_outcome(service: Service) -> None:
    counted: list[tuple[str, str]] = []
    service = replace(service, count=lambda task, outcome: counted.append((task, outcome)))
    for _ in range(2):
        service.dispatch(service.registry["add"].bind([1], {}), context=DispatchContext(idempotency_key="k"))
    service.dispatch_batch(
        [DispatchItem("add", [1], {}, {}), DispatchItem("add", ["x"], {}, {}), DispatchItem("nope", [], {}, {})]
    )
    assert sorted(counted) == [
        ("add", "accepted"),
        ("add", "accepted"),
        ("add", "refused"),
        ("add", "repeated"),
        ("nope", "refused"),
    ]


def test_concurrent_dispatches_each_store_their_own_job(service: Service, handed_over: HandedOver) -> None:
    threads = [threading.Thread(target=lambda: [dispatch(service) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.uuid for job in handed_over}) == 40
    assert service.jobs.get(handed_over[0].uuid) is not None


def test_row_has_the_json_text_made_by_binding(service: Service, database: Database) -> None:
    job = dispatch(service)
    row = database.read(lambda db: db.execute_sql("SELECT args, kwargs FROM job").fetchone())
    assert row == job.encoded == ("[2]", '{"y":2}')


def test_batch_that_fails_after_its_first_chunk_says_which_items_were_stored(
    service: Service, handed_over: HandedOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_items, "CHUNK", 2)
    add_many = JobStore.add_many

    def failing_later(jobs: JobStore, *args: Any) -> list[str]:
        if handed_over:
            raise DatabaseUnavailable("The database cannot do that now.")
        return add_many(jobs, *args)

    monkeypatch.setattr(JobStore, "add_many", failing_later)
    outcomes = service.dispatch_batch([DispatchItem("add", [number], {}, {}) for number in range(5)])
    assert outcomes[:2] == [job.uuid for job in handed_over]
    assert [type(outcome) for outcome in outcomes[2:]] == [DatabaseUnavailable] * 3
    with pytest.raises(DatabaseUnavailable):
        service.dispatch_batch([DispatchItem("add", [1], {}, {})])


def test_batch_key_covers_every_item_of_the_request(service: Service) -> None:
    context = DispatchContext(idempotency_key="k")
    items: list[batch_items.Item] = [
        DispatchItem("add", [1], {}, {}),
        DispatchItem("add", ["x"], {}, {}),
        BadRequest("This line is not JSON."),
    ]
    first = service.dispatch_batch(items, context)
    assert service.dispatch_batch(items, context)[0] == first[0]
    for changed in (items[:2], [items[0], DispatchItem("add", ["y"], {}, {}), items[2]]):
        with pytest.raises(KeyReused):
            service.dispatch_batch(changed, context)


def test_job_of_a_task_that_a_process_lacks_is_shown_and_cancelled(service: Service, database: Database) -> None:
    job = a_job(task="elsewhere.scan")
    service.jobs.add([job])
    assert service.status(job.uuid, EVERY_JOB).task == "elsewhere.scan"
    with pytest.raises(UnknownTask, match=r"No task named 'elsewhere\.scan' is registered"):
        service.retry(job.uuid, EVERY_JOB)
    assert service.cancel(job.uuid, EVERY_JOB).state is State.REVOKED
    assert unfinished_jobs(database, at=now(), limit=10) == []
