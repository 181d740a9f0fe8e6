"""The PeeWee models of the tables of this version, which the migrations create.

The models are not bound to a database: a query gets one when it is executed, so that a process can use several.
Times are microseconds since 1970 in UTC; arguments and results are JSON text.
"""

from collections.abc import Mapping

import peewee

from .core.job import WAITING, State
from .dialect import KEY_LENGTH, LongTextField, PartialIndex, SequenceField, WithoutRowid


class Job(peewee.Model):
    """One dispatched run of a task; the row is committed before its message is sent."""

    uuid = peewee.CharField(36, primary_key=True)
    task = peewee.CharField(KEY_LENGTH)
    args = LongTextField()
    kwargs = LongTextField()
    queue = peewee.CharField(KEY_LENGTH, null=True)
    priority = peewee.IntegerField(null=True)
    eta = peewee.BigIntegerField(null=True)
    expires = peewee.BigIntegerField(null=True)
    state = peewee.CharField(
        16, constraints=[peewee.Check(f"state IN ({', '.join(repr(state.value) for state in State)})")]
    )
    attempt = peewee.IntegerField(default=0)
    retries = peewee.IntegerField(default=0)
    max_attempts = peewee.IntegerField()
    result = LongTextField(null=True)
    error = LongTextField(null=True)
    headers = LongTextField(null=True)
    caller = peewee.CharField(KEY_LENGTH, default="")
    labels = LongTextField(null=True)
    traceparent = peewee.CharField(55, null=True)
    progress = LongTextField(null=True)
    worker = peewee.CharField(KEY_LENGTH, null=True)
    holder = peewee.CharField(36, null=True)
    cancel = peewee.BooleanField(default=False)
    replay_of = peewee.CharField(36, null=True)
    claim = peewee.CharField(36, null=True)
    version = peewee.IntegerField(default=0)
    created = peewee.BigIntegerField()
    due = peewee.BigIntegerField(null=True)
    published = peewee.BigIntegerField(null=True)
    started = peewee.BigIntegerField(null=True)
    finished = peewee.BigIntegerField(null=True)
    target_queue = peewee.CharField(KEY_LENGTH, null=True)
    target_priority = peewee.IntegerField(default=0)

    class Meta:
        table_name = "job"
        # Each index ends in the sort order of a search.
        indexes = (
            (("created", "uuid"), False),
            (("task", "created", "uuid"), False),
            (("state", "created", "uuid"), False),
        )


class Label(peewee.Model):
    """One label of a job, for searching; ``created`` is the job's, for the sort order of a search."""

    name = peewee.CharField(KEY_LENGTH)
    value = peewee.CharField(KEY_LENGTH)
    created = peewee.BigIntegerField()
    job = peewee.CharField(36)

    class Meta:
        table_name = "label"
        primary_key = peewee.CompositeKey("job", "name")
        indexes = ((("name", "value", "created", "job"), False), (("name", "created", "job"), False))


class Event(peewee.Model):
    """One entry in a job's append-only history, written in the transaction of the change that it describes.

    Of the progress reports of a job, only the last one is kept.
    """

    id = SequenceField()
    job = peewee.CharField(36)
    at = peewee.BigIntegerField()
    kind = peewee.CharField(32)
    data = LongTextField(null=True)

    class Meta:
        table_name = "event"
        indexes = ((("job", "id"), False),)


class Worker(peewee.Model):
    """One worker, which is alive while its beat moves.

    ``capacity`` is the number of jobs that it runs at once; ``queues`` are those that it serves, as a list in JSON.
    """

    id = peewee.CharField(36, primary_key=True)
    name = peewee.CharField(KEY_LENGTH)
    beat = peewee.BigIntegerField()
    since = peewee.BigIntegerField()
    capacity = peewee.IntegerField(default=1)
    queues = LongTextField(null=True)

    class Meta:
        table_name = "worker"


class Idempotency(peewee.Model):
    """The job and the request that an ``Idempotency-Key`` of a caller stands for."""

    digest = peewee.CharField(64, primary_key=True)
    fingerprint = peewee.CharField(64)
    job = peewee.CharField(36)
    created = peewee.BigIntegerField(index=True)

    class Meta:
        table_name = "idempotency"


class Tombstone(peewee.Model):
    """The remains of a purged job: its UUID in 16 bytes, and the hour since 1970 in which it was purged.

    There is no index by hour, which would double the size of the table: old tombstones are found by a scan.
    """

    job = peewee.BinaryUUIDField(primary_key=True)
    hour = peewee.IntegerField()

    class Meta:
        table_name = "tombstone"
        schema_manager_class = WithoutRowid


class SavedGroup(peewee.Model):
    """A Celery ``GroupResult`` that was saved, as JSON; it is purged with ``job``, its last member."""

    id = peewee.CharField(36, primary_key=True)
    members = LongTextField()
    job = peewee.CharField(36, index=True)

    class Meta:
        table_name = "saved_group"


class Election(peewee.Model):
    """The leader of a duty that only one process has, while its beat moves."""

    duty = peewee.CharField(32, primary_key=True)
    holder = peewee.CharField(36)
    beat = peewee.BigIntegerField()

    class Meta:
        table_name = "election"


class EventCounts(peewee.Model):
    """The counts of all events with an id up to ``upto``, as JSON; one row."""

    id = peewee.IntegerField(primary_key=True)
    upto = peewee.BigIntegerField()
    counts = LongTextField()

    class Meta:
        table_name = "event_counts"


class JobMinutes(peewee.Model):
    """The jobs that ended in one span of time, of one task or, with the empty name, of all, and with one outcome.

    ``span`` and ``start`` are seconds; ``run`` and ``wait`` are histograms as JSON, lists of bucket and number.
    """

    span = peewee.IntegerField()
    start = peewee.BigIntegerField()
    task = peewee.CharField(KEY_LENGTH)
    outcome = peewee.CharField(16)
    jobs = peewee.BigIntegerField()
    run = LongTextField()
    wait = LongTextField()

    class Meta:
        table_name = "job_minutes"
        primary_key = peewee.CompositeKey("span", "start", "task", "outcome")
        schema_manager_class = WithoutRowid


class Message(peewee.Model):
    """One message of the ``database://`` transport; its row is deleted when it is acknowledged.

    ``visible`` is the end of its owner's lease, and 0 for a message without owner. Of the free messages of a queue, the
    one with the lowest ``precedence`` goes first, then the oldest.
    """

    id = SequenceField()
    queue = peewee.CharField(KEY_LENGTH)
    precedence = peewee.IntegerField(default=0)
    visible = peewee.BigIntegerField(default=0)
    owner = peewee.CharField(64, default="")
    deliveries = peewee.IntegerField(default=0)
    expires = peewee.BigIntegerField(null=True)
    payload = LongTextField()

    class Meta:
        table_name = "message"
        indexes = ((("queue", "precedence", "id"), False),)


class Binding(peewee.Model):
    """A binding of the ``database://`` transport; each queue is bound to the exchange "".

    A temporary queue has a ``lifetime`` in microseconds, and ends at ``expires`` unless its consumer renews it.
    ``message_ttl``, in milliseconds, is for messages without a TTL.
    """

    exchange = peewee.CharField(KEY_LENGTH)
    routing_key = peewee.CharField(KEY_LENGTH)
    queue = peewee.CharField(KEY_LENGTH)
    message_ttl = peewee.BigIntegerField(null=True)
    lifetime = peewee.BigIntegerField(null=True)
    expires = peewee.BigIntegerField(null=True)

    class Meta:
        table_name = "binding"
        primary_key = peewee.CompositeKey("exchange", "routing_key", "queue")
        indexes = ((("queue",), False),)


class Token(peewee.Model):
    """A bearer token: its SHA-256 digest and its scopes; the token itself is not stored."""

    id = peewee.CharField(36, primary_key=True)
    name = peewee.CharField(KEY_LENGTH, index=True)
    digest = peewee.CharField(64, unique=True)
    scopes = LongTextField()
    own = peewee.BooleanField(default=False)
    expires = peewee.BigIntegerField(null=True)
    created = peewee.BigIntegerField()

    class Meta:
        table_name = "token"


MODELS = (
    *(Job, Label, Event, Worker, Idempotency, Message, Binding, Token, Tombstone, SavedGroup, Election),
    *(EventCounts, JobMinutes),
)

STARTED = peewee.SQL(f"state = '{State.STARTED.value}'")
"""Literal SQL: a database uses a partial index only if the text of the query contains its condition."""
FAILED = peewee.SQL(f"state = '{State.FAILURE.value}'")
WAITING_STATES = peewee.SQL(f"state IN ({', '.join(repr(state.value) for state in sorted(WAITING))})")
HAS_CALLER = peewee.SQL("caller <> ''")
_IS_SENT = peewee.SQL(f"{WAITING_STATES.sql} AND due IS NULL AND published IS NOT NULL")
_MAY_EXPIRE = peewee.SQL(f"{WAITING_STATES.sql} AND expires IS NOT NULL")

JOB_INDEXES: Mapping[str, PartialIndex] = {
    "job_due": PartialIndex("due", peewee.SQL("due IS NOT NULL"), "due"),
    "job_ready": PartialIndex(
        "target_queue, target_priority, due, created",
        peewee.SQL("due IS NOT NULL"),
        "target_queue, target_priority, due, created",
    ),
    "job_holder": PartialIndex("holder", STARTED, "state, holder"),
    "job_sent": PartialIndex("task, queue, published, due", _IS_SENT, "state, task, queue, published, due"),
    "job_expires": PartialIndex("expires", _MAY_EXPIRE, "state, expires"),
    "job_caller": PartialIndex("caller, created, uuid", HAS_CALLER, "caller, created, uuid"),
    "job_queue": PartialIndex("queue, created, uuid", peewee.SQL("queue IS NOT NULL"), "queue, created, uuid"),
    "job_failed": PartialIndex("task, created, uuid", FAILED, "state, task, created, uuid"),
}
