"""The verbs of the service, on a real record."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pacifica.dispatcher.core.dispatch_options import DispatchOptions
from pacifica.dispatcher.core.errors import AlreadyFinal, BadArguments, KeyReused, PurgedJob, UnknownJob, UnknownTask
from pacifica.dispatcher.core.job import OutboxEntry, State, new_uuid, now
from pacifica.dispatcher.core.registry import Registry, TaskSpec
from pacifica.dispatcher.service.verbs import HAND_OVER, DispatchContext, DispatchItem, Service
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox

from ..store.conftest import a_pruner, a_waiting

HOUR = timedelta(hours=1)


def add(x: int, y: int = 0) -> int:
    """A task."""
    return x + y


@dataclass
class Desk:
    """A service, and what it has handed over."""

    service: Service
    handed: list[OutboxEntry] = field(default_factory=list)

    def dispatch(self, options: dict[str, Any] | None = None, **request: Any) -> Any:
        """A job of ``add``."""
        return self.service.dispatch(
            self.service.registry["add"].bind([2], {"y": 2}),
            DispatchOptions(**options or {}),
            DispatchContext(**request),
        )

    def start(self, uuid: str) -> None:
        """A worker claims the job."""
        assert self.service.jobs.claim(uuid, token="t", worker="w", holder="h", retries=0, at=now())


@pytest.fixture
def desk(sqlite_url: str) -> Iterator[Desk]:
    """A service on a fresh SQLite file."""
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        handed: list[OutboxEntry] = []
        registry = Registry([TaskSpec("add", add)])
        jobs, outbox = JobStore(database), Outbox(database)
        made = Service(registry, jobs, outbox, a_waiting(database), max_attempts=3, hand_over=handed.append)
        yield Desk(made, handed)


def test_a_dispatched_job_is_stored_before_it_is_handed_over(desk: Desk) -> None:
    seen: list[Any] = []
    service = replace(desk.service, hand_over=lambda job: seen.append(desk.service.jobs.get(job.uuid)))
    job = service.dispatch(service.registry["add"].bind([2], {"y": 2}))
    assert seen == [job] == [desk.service.status(job.uuid)]
    assert (job.state, job.args, job.kwargs, job.max_attempts) == (State.PENDING, [2], {"y": 2}, 3)


def test_a_fresh_job_is_left_to_its_own_process_for_a_while(desk: Desk) -> None:
    job = desk.dispatch()
    assert job.due == job.created + HAND_OVER
    assert [sent.uuid for sent in desk.handed] == [job.uuid]


def test_the_options_are_stored_with_the_job(desk: Desk) -> None:
    end = datetime.now(UTC) + HOUR
    job = desk.dispatch({"queue": "q", "priority": 9, "expires": end, "max_attempts": 1})
    assert (job.queue, job.priority, job.max_attempts) == ("q", 9, 1)
    assert desk.service.status(job.uuid).expires == job.expires is not None


@pytest.mark.parametrize("options", [{"countdown": 3600.0}, {"eta": datetime.now(UTC) + HOUR}])
def test_a_job_for_later_waits_in_the_outbox(desk: Desk, options: dict[str, Any]) -> None:
    job = desk.dispatch(options)
    assert job.eta == job.due is not None
    assert desk.handed == []


def test_a_job_whose_time_has_passed_starts_at_once(desk: Desk) -> None:
    assert desk.dispatch({"eta": datetime.now(UTC) - HOUR}).eta is None
    assert desk.dispatch({"countdown": 0.0}).eta is None
    assert len(desk.handed) == 2


def test_an_unknown_job_is_an_error_for_every_verb(desk: Desk) -> None:
    service = desk.service
    for verb in (service.status, service.events, service.cancel, service.retry):
        with pytest.raises(UnknownJob):
            verb(new_uuid())


def test_a_waiting_job_is_revoked_at_once(desk: Desk) -> None:
    job = desk.service.cancel(desk.dispatch().uuid)
    assert job.state is State.REVOKED
    with pytest.raises(AlreadyFinal, match="REVOKED"):
        desk.service.cancel(job.uuid)


def test_a_started_job_is_asked_to_stop_as_often_as_one_likes(desk: Desk) -> None:
    job = desk.dispatch()
    desk.start(job.uuid)
    for _ in range(2):
        asked = desk.service.cancel(job.uuid)
        assert (asked.state, asked.cancel) == (State.STARTED, True)
    assert [event.kind for event in desk.service.events(job.uuid)] == ["PENDING", "STARTED", "CANCEL"]


def test_a_job_that_has_ended_is_not_cancelled(desk: Desk) -> None:
    job = desk.dispatch()
    desk.start(job.uuid)
    desk.service.jobs.succeed(job.uuid, token="t", result=4, at=now())
    with pytest.raises(AlreadyFinal, match="SUCCESS"):
        desk.service.cancel(job.uuid)


def test_a_job_that_is_put_back_while_it_is_cancelled_is_revoked_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = desk.dispatch()
    desk.start(job.uuid)
    ask = JobStore.ask_to_cancel

    def too_late(jobs: JobStore, uuid: str, *, at: int) -> bool:
        monkeypatch.setattr(JobStore, "ask_to_cancel", ask)
        assert jobs.lose(uuid, token="t", reason="its worker was stopped", at=at)
        return ask(jobs, uuid, at=at)

    monkeypatch.setattr(JobStore, "ask_to_cancel", too_late)
    assert desk.service.cancel(job.uuid).state is State.REVOKED


def test_a_retry_is_a_new_job_with_the_same_arguments_and_options(desk: Desk) -> None:
    old = desk.dispatch({"queue": "q", "priority": 1, "max_attempts": 2})
    desk.service.cancel(old.uuid)
    new = desk.service.retry(old.uuid)
    assert new.uuid != old.uuid
    assert new.replay_of == old.uuid
    for name in ("task", "args", "kwargs", "queue", "priority", "max_attempts"):
        assert getattr(new, name) == getattr(old, name)
    assert new.state is State.PENDING


def test_a_retry_of_what_can_no_longer_be_called_is_refused(desk: Desk) -> None:
    job = desk.dispatch()
    with pytest.raises(UnknownTask):
        replace(desk.service, registry=Registry([])).retry(job.uuid)
    with pytest.raises(BadArguments):
        replace(desk.service, registry=Registry([TaskSpec("add", lambda: None)])).retry(job.uuid)


def test_the_same_key_is_the_same_job_and_is_handed_over_once(desk: Desk) -> None:
    first = desk.dispatch(idempotency_key="k", caller="me")
    assert desk.dispatch(idempotency_key="k", caller="me") == first
    assert desk.dispatch(idempotency_key="k", caller="you").uuid != first.uuid
    assert len(desk.handed) == 2
    with pytest.raises(KeyReused):
        desk.dispatch({"priority": 1}, idempotency_key="k", caller="me")


def test_a_key_is_kept_for_as_long_as_the_service_says(desk: Desk) -> None:
    first = desk.dispatch(idempotency_key="k")
    forgetful = Desk(replace(desk.service, keep_keys=-1.0))
    assert forgetful.dispatch(idempotency_key="k").uuid != first.uuid


def test_a_job_that_a_workflow_has_named_is_dispatched_once(desk: Desk) -> None:
    uuid = new_uuid()
    first = desk.dispatch(uuid=uuid, headers={"link": [1]})
    assert first.uuid == uuid
    assert desk.dispatch(uuid=uuid, headers={"link": [1]}) == desk.service.status(uuid)
    assert [event.kind for event in desk.service.events(uuid)] == ["PENDING"]


def test_a_job_that_a_workflow_has_named_is_not_made_anew_once_it_was_purged(desk: Desk) -> None:
    job = desk.dispatch(uuid=new_uuid())
    desk.service.cancel(job.uuid)
    pruner = a_pruner(desk.service.jobs._database, revoked_seconds=60.0)
    assert [count.total() for count in pruner.purge({State.REVOKED: now()})] == [1]
    with pytest.raises(PurgedJob, match=job.uuid):
        desk.dispatch(uuid=job.uuid)
    assert len(desk.handed) == 1


def test_each_dispatch_counts_by_what_became_of_it(desk: Desk) -> None:
    counted: list[tuple[str, str]] = []
    service = replace(desk.service, count=lambda task, outcome: counted.append((task, outcome)))
    for _ in range(2):
        service.dispatch(service.registry["add"].bind([1], {}), request=DispatchContext(idempotency_key="k"))
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


def test_of_many_requests_at_once_each_has_its_own_job(desk: Desk) -> None:
    threads = [threading.Thread(target=lambda: [desk.dispatch() for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.uuid for job in desk.handed}) == 40
    assert desk.service.jobs.get(desk.handed[0].uuid) is not None
