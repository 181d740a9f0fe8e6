"""The differences between Celery and the dispatcher that an adopted task would notice, one by one."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial, wraps
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from celery import Celery, group
from celery.exceptions import Ignore
from celery.result import AsyncResult
from celery.worker.request import Request
from kombu.utils.json import register_type
from pydantic import BaseModel, SecretStr

from pacifica.dispatcher.core.dispatch_options import DispatchOptions
from pacifica.dispatcher.core.errors import BadArguments
from pacifica.dispatcher.core.job import State, micros
from pacifica.dispatcher.core.permissions import EVERY_JOB
from pacifica.dispatcher.core.work import LostReport
from pacifica.dispatcher.delivery.task_message import made_message
from pacifica.dispatcher.service.new_job import DispatchContext, outbox_entry
from pacifica.dispatcher.worker import plain_message
from pacifica.dispatcher.worker.adopted_spec import LONGEST_REPR
from pacifica.dispatcher.worker.job_request import JobRequest

from .adopting_worker import adopting_worker
from .local_worker import LocalWorker
from .message_check_test import a_message

SUCCESS = State.SUCCESS
KEY = UUID("01a2283f-b844-7f78-a14c-d1029a011645")


@pytest.fixture
def worker(sqlite_url: str) -> Iterator[LocalWorker]:
    """A worker whose application adopts plain tasks, and has asked for nothing."""
    with adopting_worker(sqlite_url) as started:
        yield started


def adopt(worker: LocalWorker, function: Any, **options: Any) -> Any:
    """A plain Celery task."""
    if function.__name__ == "<lambda>":  # Celery makes a function of the same name.
        function.__name__ = "made"
    task = worker.app.task(**{"shared": False, "name": f"test.{function.__name__}", **options})(function)
    worker.container.registry[task.name] = task.spec()
    return task


def run(worker: LocalWorker, task: Any, *args: Any, **kwargs: Any) -> Any:
    """The job of a call by Python, after it has run."""
    job = task.delay(*args, **kwargs)
    worker.run_all()
    return worker.job(job.id)


def kinds(worker: LocalWorker, uuid: str) -> list[str]:
    """The history of a job."""
    return [event.kind for event in worker.events(uuid)]


def test_early_acknowledgement_means_one_attempt_unless_something_else_was_asked_for(sqlite_url: str) -> None:
    def early() -> None: ...

    @contextmanager
    def asking(**asked: Any) -> Iterator[Any]:
        with adopting_worker(sqlite_url, **asked) as worker:
            yield worker

    with asking() as worker:
        task, late = adopt(worker, early), adopt(worker, early, name="test.late", acks_late=True)
        default = worker.container.settings.dispatcher.max_attempts
        assert (worker.job(task.delay().id).max_attempts, worker.job(late.delay().id).max_attempts) == (1, default)
        call = worker.container.registry[task.name].bind([], {})
        wanted = worker.container.python_service.dispatch(call, DispatchOptions(max_attempts=7), DispatchContext())
        assert wanted.max_attempts == 7
        assert task.acks_late is late.acks_late is True
    with asking(task_acks_late=True) as worker:
        worker.app.__dict__.pop("annotations", None)  # Celery has read the setting for its own tasks.
        worker.app.conf.task_annotations = {"test.annotated": {"acks_late": False}}
        assert worker.job(adopt(worker, early).delay().id).max_attempts == default
        assert worker.job(adopt(worker, early, name="test.annotated").delay().id).max_attempts == 1


def test_lost_worker_is_a_failure_without_a_second_run(worker: LocalWorker) -> None:
    lost: list[str] = []

    def vanish(self: Any) -> None:
        claim = self.request.claim
        worker.container.work_queue.report([LostReport(claim.job, claim.token, 1, "gone")])
        lost.append(claim.job)

    job = run(worker, adopt(worker, vanish, bind=True))
    assert (job.state, job.error.type, lost) == (State.FAILURE, "WorkerLostError", [job.uuid])


VALUES = [
    datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 1, 31), date(2026, 1, 31), time(12, 30),  # noqa: DTZ001
    Decimal("1.10"), KEY, b"\xff", float("inf"), 1, "1", None, [date(2026, 1, 31), {"a": KEY}],
    {"__type__": "unknown", "__value__": 1},
]  # fmt: skip


def test_values_reach_the_function_with_the_types_that_celery_keeps(worker: LocalWorker) -> None:
    seen: list[Any] = []

    def without(*values, **named):  # type: ignore[no-untyped-def]
        seen.append([*values, *named.values()])

    def typed(when: datetime, place: "Nowhere", price: Decimal = Decimal(1)) -> None:  # type: ignore[name-defined]  # noqa: F821
        seen.append([when, place, price])

    sure, unsure = adopt(worker, typed), adopt(worker, typed, name="test.retyped")
    run(worker, adopt(worker, without), *VALUES, last=KEY)
    assert seen.pop() == [*VALUES, KEY]
    job = run(worker, sure, VALUES[1], VALUES[2], VALUES[4])
    assert seen.pop() == [VALUES[1], VALUES[2], VALUES[4]]
    assert list(job.args) == [
        {"__type__": "datetime", "__value__": "2026-01-31T00:00:00"},
        {"__type__": "date", "__value__": "2026-01-31"},
        "1.10",
    ]
    job = run(worker, unsure, "soon", 1, None)
    assert seen.pop() == ["soon", 1, None]
    service = worker.container.python_service
    again = service.retry(job.uuid, EVERY_JOB)
    worker.run_all()
    assert (worker.job(again.uuid).state, seen) == (SUCCESS, [["soon", 1, None]])


def test_type_that_the_application_has_registered_is_kept_and_others_raise_in_the_caller(worker: LocalWorker) -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    def place(point):  # type: ignore[no-untyped-def]
        return type(point).__name__, point.x

    task = adopt(worker, place)
    with pytest.raises(BadArguments, match="Point"):
        task.delay(Point(1))
    with pytest.raises(BadArguments, match="point: is missing"):
        task.delay()
    register_type(Point, "test-point", lambda point: point.x, Point)
    assert run(worker, task, Point(1)).result == ["Point", 1]


class Room(BaseModel):
    """A model that ignores members which it does not know."""

    note: str = ""


def test_request_cannot_pass_by_the_annotation_or_reach_a_decoder(worker: LocalWorker) -> None:
    decoded: list[Any] = []
    register_type(Room, "test-room", Room.model_dump, decoded.append)

    def clean(room: Room) -> str:
        return repr(room)

    def anything(value):  # type: ignore[no-untyped-def]
        return value

    specs = [adopt(worker, function).spec() for function in (clean, anything)]
    for kind in ("as_is", "test-room", "date"):
        value = {"__type__": kind, "__value__": "x"}
        for spec in specs:
            with pytest.raises(BadArguments, match="must not have a member __type__"):
                spec.bind([value], {})
        with pytest.raises(BadArguments, match="must not have a member __type__"):
            specs[0].bind_text([json.dumps(value)])
    with pytest.raises(BadArguments, match="must not have a member __type__"):
        specs[1].bind([], {"value": [{"a": value}]})
    note = {"note": 'the text "__type__": is no tag'}
    call = specs[0].bind([note], {})
    assert specs[0].load(call.args, call.kwargs) == ([Room(**note)], {})
    assert run(worker, worker.app.tasks["test.clean"], note).result == repr(note)
    assert not decoded


def test_worker_without_the_dispatcher_does_not_run_a_job_that_has_a_row(worker: LocalWorker) -> None:
    def once() -> None: ...

    task = adopt(worker, once)
    own = Celery(set_as_current=False, broker="memory://", backend="cache+memory://")
    plain = own.task(once, name=task.name, shared=False)
    job = worker.job(task.apply_async(expires=60).id)
    message = made_message(worker.app, outbox_entry(job))
    assert job.expires is not None
    for kind, app, one, drops in ((JobRequest, worker.app, task, False), (Request, own, plain, True)):
        received = a_message(message.body, message.headers)
        ignored = {"on_ack": lambda *_: None, "eventer": SimpleNamespace(enabled=False)}
        request = kind(received, app=app, task=one, body=received.payload, decoded=True, **ignored)
        assert request.revoked() is drops
    worker.run_all()
    assert worker.job(job.uuid).state == SUCCESS


def test_time_without_a_zone_is_in_that_of_the_application(worker: LocalWorker) -> None:
    task = adopt(worker, lambda: None)
    received = SimpleNamespace(
        id=str(KEY), task=task, args=[], kwargs={}, delivery_info={}, request_dict={}, body=[[], {}, {}]
    )
    eta, end = datetime(2100, 1, 1), datetime(2100, 1, 1, 6)  # noqa: DTZ001
    headers = {"eta": eta.isoformat(), "expires": end.isoformat()}
    for zone, hours in ((UTC, 0), (ZoneInfo("America/New_York"), 5)):
        worker.app.naive_zone = zone
        expected = [micros(moment.replace(tzinfo=UTC)) + hours * 3_600_000_000 for moment in (eta, end)]
        job = worker.job(task.apply_async(eta=eta, expires=end).id)
        assert [job.eta, job.expires] == expected
        job = plain_message.job_of(worker.container, received, headers).job
        assert [job.eta, job.expires] == expected


def test_foreign_message_brings_values_of_the_same_types(worker: LocalWorker) -> None:
    def when(moment):  # type: ignore[no-untyped-def]
        return moment

    task = adopt(worker, when)
    args, kwargs = [VALUES[1], object], {}
    received = SimpleNamespace(
        id=str(KEY), task=task, args=args[:1], kwargs=kwargs, delivery_info={}, request_dict={}, body=[args, kwargs, {}]
    )
    job, refusal = plain_message.job_of(worker.container, received, {})
    assert (refusal, job.max_attempts) == (None, 1)
    assert task.spec().load(job.args, job.kwargs) == ([VALUES[1]], {})
    received.args = args
    assert plain_message.job_of(worker.container, received, {}).refusal is not None


def test_result_goes_to_the_next_step_of_a_chain_as_celery_sends_it(worker: LocalWorker) -> None:
    first = adopt(worker, lambda: date(2026, 1, 31), name="test.first")
    second = adopt(worker, lambda day: [type(day).__name__, day], name="test.second")
    job = (first.s() | second.s()).delay()
    worker.run_all()
    assert worker.outcome(job.id) == (SUCCESS, ["date", "2026-01-31"])
    header = group([first.s(), first.s()])
    assert header.apply_async()
    worker.run_all()


class Unwritable:
    """Has no JSON form, and no text."""

    def __repr__(self) -> str:
        raise OSError


class Secret(BaseModel):
    """Hides a part."""

    word: SecretStr


def secret() -> Secret:
    """Returns something else than it says."""
    return {"word": {1: object()}}  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (lambda: {"a": object}, "{'a': <class 'object'>}"),
        (lambda: "x" * 2_000_000, "'xxx"),
        (lambda: [Unwritable()][0], "<Unwritable whose text cannot be made: OSError>"),
        (secret, "<dict>"),
        (lambda: Ignore, "<class 'celery.exceptions.Ignore'>"),
    ],
)
def test_result_that_is_no_json_is_a_success_with_its_text(worker: LocalWorker, result: Any, text: str) -> None:
    job = run(worker, adopt(worker, result, name="test.result"))
    assert (job.state, job.result[: len(text)]) == (SUCCESS, text)
    assert len(job.result) <= LONGEST_REPR
    (event,) = [event for event in worker.events(job.uuid) if event.kind == "RESULT_AS_TEXT"]
    assert "test.result" in event.data["reason"]
    assert kinds(worker, job.uuid) == ["PENDING", "STARTED", "RESULT_AS_TEXT", "SUCCESS"]


@pytest.mark.parametrize(
    ("result", "value"),
    [
        (lambda: AsyncResult(str(KEY)), [[str(KEY), None], None]),
        (lambda: (number for number in range(3)), [0, 1, 2]),
        (lambda: {1: {2, 1}}, {"1": [1, 2]}),
    ],
)
def test_results_that_have_a_json_form_are_stored_in_it(worker: LocalWorker, result: Any, value: Any) -> None:
    job = run(worker, adopt(worker, result, name="test.result"))
    assert (job.state, job.result, kinds(worker, job.uuid)) == (SUCCESS, value, ["PENDING", "STARTED", "SUCCESS"])


def test_ignored_result_is_null_and_its_state_is_recorded(sqlite_url: str) -> None:
    def ignored(x: int) -> Any:
        return object() if x else 1 / x

    with adopting_worker(sqlite_url, task_ignore_result=True) as worker:
        by_setting = adopt(worker, ignored)
        kept = adopt(worker, lambda: 1, name="test.kept", ignore_result=False)
        assert run(worker, kept).result == 1
        for task in (by_setting, adopt(worker, ignored, name="test.own", ignore_result=True, serializer="pickle")):
            job = run(worker, task, 1)
            assert (job.state, job.result, kinds(worker, job.uuid)[-2:]) == (SUCCESS, None, ["STARTED", "SUCCESS"])
            assert run(worker, task, 0).error.type == "ZeroDivisionError"
        assert (task.serializer, worker.container.registry[task.name].asked.serializer) == ("json", "pickle")


def test_state_that_a_job_cannot_have_is_logged_and_the_job_succeeds(
    worker: LocalWorker, caplog: pytest.LogCaptureFixture
) -> None:
    def odd(self: Any) -> str:
        for state, meta, uuid in [
            ("RETRY", None, None), ("X" * 99, None, None), ("BIG", "x" * 99_999, None), ("ODD", object(), None),
            ("OTHER", None, str(KEY)),
        ]:  # fmt: skip
            self.update_state(state=state, meta=meta, task_id=uuid)
        self.update_state(state="FINE", meta={"a": 1})
        return "done"

    def by_hand(self: Any) -> None:
        self.update_state(state="SUCCESS", meta=object)
        raise Ignore

    with caplog.at_level(logging.WARNING, "pacifica.dispatcher"):
        job = run(worker, adopt(worker, odd, bind=True))
    assert (job.state, job.result) == (SUCCESS, "done")
    assert sum("update_state" in record.getMessage() for record in caplog.records) == 5
    assert run(worker, adopt(worker, by_hand, bind=True)).result == "<class 'object'>"


def test_calls_are_counted_as_celery_counts_them_and_numbers_of_options_are_kept_in_bounds(worker: LocalWorker) -> None:
    def measure(x, y=0):  # type: ignore[no-untyped-def]
        return x + y

    retried = adopt(worker, measure, autoretry_for=(OSError,), name="test.retried")
    for args in ([], [1, 2, 3]):
        with pytest.raises(BadArguments):
            retried.delay(*args)

    @wraps(measure)
    def adding(*args: Any, **kwargs: Any) -> Any:
        return measure(1, *args, **kwargs)

    job = adopt(worker, adding).apply_async([], countdown=-1.5, priority=200)
    worker.run_all()
    assert (worker.outcome(job.id), worker.job(job.id).priority) == ((SUCCESS, 1), 9)
    with pytest.raises(BadArguments):
        worker.container.registry["test.measure"].bind([], {})


def test_options_of_a_retry_that_a_job_cannot_change_are_logged(
    worker: LocalWorker, caplog: pytest.LogCaptureFixture
) -> None:
    def again(self: Any, when: Any) -> Any:
        if self.request.retries == 0:
            raise self.retry(countdown=0, headers={"a": 1}, routing_key="x")
        return type(when).__name__

    assert run(worker, adopt(worker, again, bind=True), date(2026, 1, 31)).result == "date"
    assert "headers, routing_key" in caplog.text


@pytest.mark.parametrize("own", [False, True])
def test_jobs_expire_as_their_task_declares_unless_the_caller_decides(worker: LocalWorker, own: bool) -> None:
    def remind() -> None: ...

    end = datetime(2100, 1, 1, tzinfo=UTC)
    make = partial(worker.task, remind) if own else partial(adopt, worker, remind)
    hour, fixed, never = make(name="test.hour", expires=3600), make(name="test.end", expires=end), make()
    lives = [worker.job(task.delay().id) for task in (hour, fixed, never)]
    assert lives[0].expires == lives[0].created + 3600 * 10**6
    assert [job.expires for job in lives[1:]] == [micros(end), None]
    asked = worker.container.python_service.dispatch(
        worker.container.registry[hour.name].bind([], {}), DispatchOptions(expires=end), DispatchContext()
    )
    assert asked.expires == micros(end)
    received = SimpleNamespace(
        id=str(KEY), task=hour, args=[], kwargs={}, delivery_info={}, request_dict={}, body=[[], {}, {}]
    )
    assert plain_message.job_of(worker.container, received, {}).job.expires is None, "its sender has decided"
