"""Each text column holds the longest value that may come in, on every database alike."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import peewee
import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.dispatch_options import LABEL_NAME, checked_options
from pacifica.dispatcher.core.errors import BadId, BadOptions, ConfigError
from pacifica.dispatcher.core.job import State, new_uuid, now, parse_uuid
from pacifica.dispatcher.core.name_limits import MAX_NAME, MAX_WORKER, task_name_fault
from pacifica.dispatcher.delivery.database_transport.channel import NAME_LENGTH
from pacifica.dispatcher.dialect import metadata
from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.tokens import TokenStore
from pacifica.dispatcher.store.workers import WorkerStore
from pacifica.dispatcher.worker import python_dispatch, record_step

from .store.conftest import a_job
from .store.job_steps import claim

UUID = len(new_uuid())
LIMITS: Mapping[str, int] = {
    # Ids are made by the service, or checked by parse_uuid; hashes have a fixed length.
    **dict.fromkeys(["job.uuid", "job.holder", "job.replay_of", "job.claim", "label.job", "event.job"], UUID),
    **dict.fromkeys(["worker.id", "idempotency.job", "election.holder", "token.id"], UUID),
    **dict.fromkeys(["saved_group.id", "saved_group.job"], UUID),
    **dict.fromkeys(["idempotency.digest", "idempotency.fingerprint", "token.digest"], 64),
    **dict.fromkeys(
        ["job.task", "job.queue", "job.caller", "job.worker", "worker.name", "token.name", "job_minutes.task"], MAX_NAME
    ),
    **dict.fromkeys(["job.target_queue", "label.name", "label.value"], MAX_NAME),
    **dict.fromkeys(["message.queue", "binding.exchange", "binding.routing_key", "binding.queue"], NAME_LENGTH),
    # Values that only the service writes.
    "job.state": 16,
    "job.traceparent": 55,
    "event.kind": 32,
    "election.duty": 32,
    "job_minutes.outcome": 16,
    "message.owner": 64,
}
"""The longest value of each text column; a new column needs an entry, and a check where its values come in."""


def test_every_text_column_has_its_limit() -> None:
    columns = {
        f"{metadata(model).table_name}.{column.name}": column.max_length
        for model in orm.MODELS
        for column in metadata(model).sorted_fields
        if isinstance(column, peewee.CharField)
    }
    assert columns == LIMITS


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database of each kind."""
    with closing(Database(database_url)) as found:
        found.wait_until_up(1, 0.0)
        yield found


def test_longest_values_are_stored_whole(database: Database) -> None:
    long = "ß" * MAX_NAME
    at = now()
    job = a_job(task=long, queue=long, caller=long, traceparent="t" * 55, replay_of=new_uuid(), labels={"n" * 63: long})
    jobs = JobStore(database)
    jobs.add([job])
    worker = "ß" * MAX_WORKER
    assert claim(jobs, job, "c" * 32, worker=worker, holder=new_uuid(), at=at)
    WorkerStore(database).beat(new_uuid(), worker, at=at)
    Tokens(TokenStore(database)).create("n" * 100, ["read"])
    stored = jobs.get(job.uuid)
    assert stored is not None
    assert (stored.task, stored.queue, stored.caller, stored.labels) == (long, long, long, job.labels)
    assert (stored.traceparent, stored.replay_of, stored.worker) == (job.traceparent, job.replay_of, worker)
    assert max(map(len, State)) <= LIMITS["job.state"]


def dispatch(task_id: str) -> object:
    """Dispatch from Python with this id."""
    task = SimpleNamespace(app=SimpleNamespace(container=None), name="add")
    return python_dispatch.dispatch(task, (), {}, task_id, {})


def name_worker(name: str) -> None:
    record_step._check_name(name)  # noqa: SLF001 - a step needs a whole worker


@pytest.mark.parametrize(
    ("enter", "error", "sentence"),
    [
        (lambda: parse_uuid("0" * 300), BadId, "is not a UUID"),
        (lambda: dispatch("x" * 300), BadId, "is not a UUID"),
        (lambda: dispatch("nightly"), BadId, "'nightly' is not a UUID. A job's id looks like"),
        (lambda: dispatch(f"{{{new_uuid()}}}"), BadId, "is not a UUID"),
        (lambda: checked_options(queue="q" * (MAX_NAME + 1)), BadOptions, "queue: String should have at most 191"),
        (lambda: checked_options(labels={"n": "v" * (MAX_NAME + 1)}), BadOptions, "at most 191 characters"),
        (lambda: checked_options(labels={"n" * 64: "v"}), BadOptions, "1 to 63"),
        (lambda: name_worker("x" * (MAX_WORKER + 1)), ConfigError, "it has 178 characters; at most 177 are allowed"),
        (lambda: name_worker("w\udcff@host"), ConfigError, "characters that cannot be printed. Start .* another -n"),
    ],
)
def test_longer_value_is_refused_where_it_comes_in(enter: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        enter()


def test_longest_value_passes_where_it_comes_in() -> None:
    assert checked_options(queue="q" * MAX_NAME, labels={"n" * 63: "v" * MAX_NAME}).queue == "q" * MAX_NAME
    assert LABEL_NAME.fullmatch("n" * 63)
    assert not task_name_fault("t" * MAX_NAME)
    name_worker("x" * MAX_WORKER)
