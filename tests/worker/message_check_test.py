"""Messages before Celery reads them: none ends the worker, from random bytes to messages that are almost right."""

import json
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery.app.task import Context
from celery.worker.state import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu.message import Message

from pacifica.dispatcher.app import DispatcherApp
from pacifica.dispatcher.config.load import load_settings
from pacifica.dispatcher.container import Container
from pacifica.dispatcher.core.job import iso
from pacifica.dispatcher.store.event_counts import CountKey, EventCountStore
from pacifica.dispatcher.worker import message_check
from pacifica.dispatcher.worker.claim import REFUSAL
from pacifica.dispatcher.worker.job_consumer import JobConsumer
from pacifica.dispatcher.worker.message_check import OWN_FIELDS, MessageHeaders, fault_of, names_a_job_only

UUID = "01a20a87-952e-7637-b259-b34fb625e63a"
GOOD: Mapping[str, Any] = {"id": UUID, "task": "add", "root_id": UUID, "parent_id": None, "lang": "py"}
EMPTY = [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


class Channel:
    """A channel that counts the messages that were rejected."""

    no_ack_consumers = None

    def __init__(self) -> None:
        self.rejected = 0

    def basic_reject(self, _tag: int, requeue: bool) -> None:
        """Count one rejected message; none may return to the queue."""
        assert not requeue
        self.rejected += 1


def a_message(body: Any = EMPTY, headers: Any = GOOD, channel: Any = None, **options: Any) -> Message:
    """A delivered message; a body that is not bytes is written as JSON."""
    content = {"content_type": "application/json", "content_encoding": "utf-8", "properties": {}} | options
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Message(text, 1, headers=headers, accept={"application/json"}, channel=channel, **content)


class Receiver:
    """The consumer of a worker without broker and pool, and the requests that it hands to the pool."""

    def __init__(self, container: Container) -> None:
        self.accepted: list[Any] = []
        self.left_to_the_writer: list[Callable[[], object]] = []
        self.channel = Channel()
        app = container.app
        container.writer = SimpleNamespace(do=self.left_to_the_writer.append)  # type: ignore[assignment]
        consumer: Any = object.__new__(JobConsumer)
        vars(consumer).update(
            app=app,
            hostname="w@test",
            connection_errors=(ConnectionError,),
            channel_errors=(),
            event_dispatcher=None,
            timer=SimpleNamespace(call_at=None),
            pool=SimpleNamespace(apply_async=None),
            controller=SimpleNamespace(state=SimpleNamespace(revoked=set())),
            disable_rate_limits=True,
            on_task_request=self.accepted.append,
            on_task_message=set(),
            task_buckets={},
            _maximum_prefetch_restored=True,
        )
        consumer.strategies = {"add": app.tasks["add"].start_strategy(app, consumer)}
        self.strategies: dict[str, Any] = consumer.strategies
        self.receive: Callable[[Message], None] = consumer.create_task_handler()

    def outcome(self, message: Message) -> str:
        """Receive a message, and return whether it was accepted or refused."""
        self.accepted.clear()
        rejected, self.channel.rejected, message.channel = 0, 0, self.channel
        self.receive(message)
        while self.left_to_the_writer:
            self.left_to_the_writer.pop(0)()
        rejected = self.channel.rejected
        requests.clear()
        assert rejected + len(self.accepted) == 1, "each message is accepted or refused, once"
        return "refused" if rejected else "accepted"


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """The parts of a worker with an empty database."""
    url = f"sqliteext:///{tmp_path_factory.mktemp('record')}/db.sqlite3"
    made = Container(lambda: load_settings(environ={"PEEWEE_URL": url, "BROKER_URL": "database://"}), DispatcherApp)
    _ = made.registry
    made.prepare(patient=False)
    with closing(made.database):
        yield made


@pytest.fixture(scope="module")
def receiver(container: Container) -> Receiver:
    """A worker's consumer."""
    return Receiver(container)


BODIES = [b'"x"', b"null", b"5", b"[1]", b"[1, 2, 3]", b"", b"\xff\xfe", b"[" * 100_000, b'[[], {}, {"chain": "x"}]']
FAULTY: list[Mapping[str, Any]] = [
    {"id": None},
    {"id": 5},
    {"id": "x" * 37},
    {"id": "a\0"},
    {"id": "my-own-id"},
    {"task": ["add"]},
    {"task": None},
    {"timelimit": "soon"},
    {"timelimit": ["a", 1]},
    {"timelimit": [-1, None]},
    {"eta": "tomorrow"},
    {"eta": "9999-12-31T23:59:59-23:59"},
    {"expires": 5},
    {"retries": "1"},
    {"retries": -1},
    {"shadow": 5},
    {"group": {}},
    {"stamped_headers": 5},
    {"ignore_result": "no"},
    {"retries_before": "1"},
    {"claim": "x"},
    {"dispatcher_stored": True},
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
def test_body_that_celery_cannot_read_is_refused(receiver: Receiver, body: bytes) -> None:
    assert receiver.outcome(a_message(body)) == "refused"


@pytest.mark.parametrize("wrong", FAULTY, ids=repr)
def test_header_of_a_wrong_type_is_refused(receiver: Receiver, wrong: Mapping[str, Any]) -> None:
    assert receiver.outcome(a_message(headers={**GOOD, **wrong})) == "refused"


def test_no_header_can_take_the_name_of_a_field_of_the_worker() -> None:
    sources = [path.read_text(encoding="utf-8") for path in Path(message_check.__file__).parent.glob("*.py")]
    used = re.findall(r'request\.update\(\s*(\w+)=|getattr\((?:\w+\.)?request, "(\w+)"', "\n".join(sources))
    named = {update or read for update, read in used} - MessageHeaders.model_fields.keys() - set(dir(Context))
    assert named == OWN_FIELDS - {"_children"}


@pytest.mark.parametrize("headers", [{}, {"id": UUID}, {"task": "add"}, [], "task", None], ids=repr)
def test_message_without_its_headers_is_refused(receiver: Receiver, headers: Any) -> None:
    message = a_message()
    message.headers = headers
    assert receiver.outcome(message) == "refused"


@pytest.mark.parametrize(
    "content",
    [
        {"content_type": "application/x-python-serialize", "content_encoding": "binary"},
        {"content_type": "text/plain"},
        {"content_type": "application/x-yaml"},
        {"content_type": "application/x-msgpack", "content_encoding": "binary"},
    ],
    ids=repr,
)
def test_content_that_is_not_json_is_refused(receiver: Receiver, content: Mapping[str, str]) -> None:
    assert receiver.outcome(a_message(**content)) == "refused"


class Trap:
    """Loading its pickle leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickled_body_is_never_loaded(receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    body = pickle.dumps([[Trap(tmp_path / "loaded")], {}, {}])
    content = {"content_type": "application/x-python-serialize", "content_encoding": "binary"}
    many = {f"other-{number}": "x" for number in range(100)}
    assert receiver.outcome(a_message(body, {**many, **GOOD}, **content)) == "refused"
    assert not (tmp_path / "loaded").exists()
    assert "its content type 'application/x-python-serialize' is not read, only JSON is" in caplog.text
    assert f"Its headers: {{'id': '{UUID}', 'task': 'add'," in caplog.text
    pickle.loads(body)
    assert (tmp_path / "loaded").exists(), "the trap works"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"id": "my-own-id"}, "its headers.id cannot be used: it must be a UUID in lower case, as Celery makes it"),
        ({"claim": 1}, "the worker itself uses the name of its header claim; the sender must give that another name"),
    ],
)
def test_refusal_says_what_to_send_instead(wrong: Mapping[str, Any], sentence: str) -> None:
    assert fault_of(a_message(headers={**GOOD, **wrong})) == sentence


def test_refused_message_is_logged_and_counted(
    receiver: Receiver, container: Container, caplog: pytest.LogCaptureFixture
) -> None:
    counts = EventCountStore(container.database)
    key = CountKey(None, "REFUSED_MESSAGE", None)
    before = counts.load().counts[key].events if key in counts.load().counts else 0
    receiver.outcome(a_message(headers={"task": "add"}))
    assert "is refused: its headers.id cannot be used: Field required" in caplog.text
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert counts.load().counts[key].events == before + 1


def test_unforeseen_error_while_receiving_refuses_the_message(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(receiver.strategies, "add", lambda *_: 1 // 0)
    assert receiver.outcome(a_message()) == "refused"
    assert "is refused: it cannot be received (ZeroDivisionError)" in caplog.text


def test_message_for_no_task_and_no_job_is_refused(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    assert receiver.outcome(a_message(headers={**GOOD, "task": "nowhere"})) == "refused"
    assert f"this worker has no task nowhere, and there is no job {UUID}" in caplog.text


@pytest.mark.parametrize("headers", [{"task": "add"}, {**GOOD, "task": "nowhere"}], ids=["faulty", "no such task"])
def test_event_loop_does_not_wait_for_the_record(
    receiver: Receiver, container: Container, headers: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the event loop used the database")

    message = a_message(headers=headers, channel=receiver.channel)
    with monkeypatch.context() as patched:
        patched.setattr(container.database, "read", fail)
        patched.setattr(container.database, "write", fail)
        receiver.receive(message)
    assert message.acknowledged
    assert len(receiver.left_to_the_writer) == 1
    receiver.left_to_the_writer.clear()


def test_plain_message_neither_expires_nor_waits_in_memory(receiver: Receiver) -> None:
    plain = {**GOOD, "argsrepr": "()", "expires": "2000-01-01T00:00:00Z", "eta": "2100-01-01T00:00:00Z"}
    assert receiver.outcome(a_message()) == "accepted"
    assert receiver.accepted[0].new is None
    assert receiver.outcome(a_message(headers=plain)) == "accepted", "neither expired nor kept until its eta"
    request = receiver.accepted[0]
    assert (request.request_dict["eta"], iso(request.new.eta)) == (None, "2100-01-01T00:00:00.000000Z")
    assert not names_a_job_only(a_message([[1], {}, None]))
    assert not names_a_job_only(a_message(headers={**GOOD, "lang": "js"})), "celery-node sends no texts of arguments"


ARGUMENTS = {"argsrepr": "(1, 2)", "kwargsrepr": "{}", "origin": "gen1@there"}
CELERY_5_3 = {
    **GOOD,
    **ARGUMENTS,
    "shadow": None,
    "eta": None,
    "expires": None,
    "group": None,
    "group_index": None,
    "retries": 0,
    "timelimit": [None, None],
    "ignore_result": False,
    "stamped_headers": None,
    "stamps": {},
}
OTHER_CLIENTS: Mapping[str, Mapping[str, Any]] = {
    "Celery 5.3": CELERY_5_3,
    "Celery 5.7": {**CELERY_5_3, "replaced_task_nesting": 0, "ignore_result": True},
    "stamps": {**CELERY_5_3, "stamped_headers": ["site"], "stamps": {"site": ["K\u00f6ln"]}, "site": "K\u00f6ln"},
    "headers of the sender": {**CELERY_5_3, "tenant": "x", "baggage": {"a": 1}, "sent": 1.5},
    "time limits": {**CELERY_5_3, "timelimit": [60, 5.5]},
    "no time limits, as 0": {**CELERY_5_3, "timelimit": [0, 0]},
    "celery-node": {**CELERY_5_3, "lang": "js", "argsrepr": "", "kwargsrepr": "", "shadow": ""},
    "the least": {"id": UUID, "task": "add", "lang": "py"},
}


@pytest.mark.parametrize("headers", OTHER_CLIENTS.values(), ids=OTHER_CLIENTS.keys())
def test_message_of_each_client_becomes_a_job(receiver: Receiver, headers: Mapping[str, Any]) -> None:
    assert receiver.outcome(a_message([[1, 2], {}, {}], headers)) == "accepted"
    job = receiver.accepted[0].new
    assert (job.uuid, job.task, job.args) == (UUID, "add", [1, 2])


def test_job_of_a_plain_message_keeps_what_the_message_says(receiver: Receiver, container: Container) -> None:
    message = a_message(
        [[1, 2], {}, {"callbacks": None, "errbacks": None, "chain": [{"task": "add", "args": [3]}], "chord": None}],
        {**CELERY_5_3, "retries": 3, "group": "g", "timelimit": [60, None], "parent_id": "p", "request_id": "r"},
        properties={"priority": 12},
        delivery_info={"routing_key": "dispatcher", "redelivered": True},
    )
    assert receiver.outcome(message) == "accepted"
    request = receiver.accepted[0]
    job, claim = request.new, request.claims()
    assert (job.retries, job.attempt, job.queue, job.priority) == (3, 3, "dispatcher", 9)
    expected = {"root_id": UUID, "parent_id": "p", "group_id": "g", "time_limit": 60, "request_id": "r"}
    assert job.headers == {**expected, "chain": [{"task": "add", "args": [3]}]}
    assert claim == (UUID, 3, job, True)


@pytest.mark.parametrize(
    ("body", "kept", "reason"),
    [
        ([[1], {}, {}], [1], "y: is missing"),
        ([[1, 2, 3], {}, {}], [1, 2, 3], "3"),
        ([["x" * 2_000_000, 1], {}, {}], [], "arguments_bytes allows"),
    ],
    ids=["too few", "too many", "huge"],
)
def test_arguments_that_do_not_fit_become_a_job_that_fails(
    receiver: Receiver, body: Any, kept: list[Any], reason: str
) -> None:
    assert receiver.outcome(a_message(body, CELERY_5_3)) == "accepted"
    request = receiver.accepted[0]
    refusal = pickle.loads(pickle.dumps(request.request_dict[REFUSAL]))  # It goes to a pool process.
    assert request.new.args == kept
    assert reason in str(refusal)


def test_plain_message_for_a_task_that_cannot_be_used_is_refused(
    receiver: Receiver, container: Container, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(container.registry, "unusable", {"add": "its annotation is wrong"})
    assert receiver.outcome(a_message([[1, 2], {}, {}], CELERY_5_3)) == "refused"
    assert "is refused: Task add" in caplog.text


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    "id",
    "task",
    "retries",
    "eta",
    "expires",
    "timelimit",
    "root_id",
    "group",
    "shadow",
    "stamps",
    "ignore_result",
]
SIGNATURES = st.fixed_dictionaries({}, optional=dict.fromkeys(("task", "args", "kwargs", "options"), JSON_VALUES))
EMBEDS = st.fixed_dictionaries(
    {}, optional={name: JSON_VALUES | st.lists(SIGNATURES, max_size=2) for name in ("callbacks", "chain", "chord")}
)
ALMOST = st.tuples(JSON_VALUES | st.just([]), JSON_VALUES | st.just({}), EMBEDS | JSON_VALUES)
HEADERS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), JSON_VALUES, max_size=3)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=50) | JSON_VALUES | ALMOST, headers=HEADERS.map(lambda other: {**GOOD, **other}))
def test_any_message_is_accepted_or_refused(receiver: Receiver, body: Any, headers: Mapping[str, Any]) -> None:
    message = a_message(body, headers)
    expected = "accepted" if fault_of(message) is None and headers["task"] == "add" else "refused"
    assert receiver.outcome(message) == expected
