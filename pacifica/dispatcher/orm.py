"""The PeeWee models: the tables as this version knows them; the migrations make them.

The models are bound to no database: a query is given one when it is executed, so that one process
may hold several. Times are microseconds since 1970 in UTC, arguments and results are JSON text.
"""

from collections.abc import Mapping

import peewee

from .core.job import WAITING, State
from .dialect import KEY_LENGTH, Compact, LongTextField, PartialIndex, SequenceField


class Job(peewee.Model):
    """One dispatched run of a task; the row that is committed before any message is sent."""

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

    class Meta:
        table_name = "job"
        # Each ends in the order in which a search shows jobs.
        indexes = (
            (("created", "uuid"), False),
            (("task", "created", "uuid"), False),
            (("state", "created", "uuid"), False),
        )


class Label(peewee.Model):
    """One label of a job, for searching; ``created`` is the job's, so that those of a label come in order."""

    name = peewee.CharField(KEY_LENGTH)
    value = peewee.CharField(KEY_LENGTH)
    created = peewee.BigIntegerField()
    job = peewee.CharField(36)

    class Meta:
        table_name = "label"
        primary_key = peewee.CompositeKey("job", "name")
        indexes = ((("name", "value", "created", "job"), False), (("name", "created", "job"), False))


class Event(peewee.Model):
    """One entry in a job's append-only history, written in the transaction of the change it tells of.

    Of a job's reports of progress only the last one stays.
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
    """One worker's lease: it lives while its beat moves."""

    id = peewee.CharField(36, primary_key=True)
    name = peewee.CharField(KEY_LENGTH)
    beat = peewee.BigIntegerField()
    since = peewee.BigIntegerField()

    class Meta:
        table_name = "worker"


class Idempotency(peewee.Model):
    """Which job an ``Idempotency-Key`` of a caller stands for, and for which request."""

    digest = peewee.CharField(64, primary_key=True)
    fingerprint = peewee.CharField(64)
    job = peewee.CharField(36)
    created = peewee.BigIntegerField(index=True)

    class Meta:
        table_name = "idempotency"


class Tombstone(peewee.Model):
    """All that is left of a purged job: its UUID in 16 bytes, and the hour since 1970 in which it was purged.

    It has no second index: that would be as large as all else. Who forgets the old ones walks through them.
    """

    job = peewee.BinaryUUIDField(primary_key=True)
    hour = peewee.IntegerField()

    class Meta:
        table_name = "tombstone"
        schema_manager_class = Compact


class Election(peewee.Model):
    """Which process does a duty that only one needs to do; it does so while its beat moves."""

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


class Message(peewee.Model):
    """One message of the ``database://`` transport; its row is deleted when it is acknowledged.

    ``visible`` is 0 while the message is free, and the end of its owner's lease while it is held.
    ``precedence`` orders the free ones of a queue: the lower goes first, then the older. The index
    holds them in exactly that order, so that a claim reads no row that it does not take.
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
        indexes = ((("queue", "visible", "precedence", "id"), False),)


class Binding(peewee.Model):
    """Which queue of the ``database://`` transport hears which exchange; each queue hears the exchange "".

    A temporary queue has a ``lifetime`` (microseconds), and ends at ``expires`` unless its consumer
    comes by before. ``message_ttl`` (milliseconds) is for messages that bring none.
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
    """A bearer token: its SHA-256 digest, and what it allows; the token itself is nowhere."""

    id = peewee.CharField(36, primary_key=True)
    name = peewee.CharField(KEY_LENGTH, index=True)
    digest = peewee.CharField(64, unique=True)
    scopes = LongTextField()
    own = peewee.BooleanField(default=False)
    expires = peewee.BigIntegerField(null=True)
    created = peewee.BigIntegerField()

    class Meta:
        table_name = "token"


MODELS = (Job, Label, Event, Worker, Idempotency, Message, Binding, Token, Tombstone, Election, EventCounts)


STARTED = peewee.SQL(f"state = '{State.STARTED.value}'")
"""In literal SQL, as a database uses a partial index only where it can see that the query fits it."""
WAITING_STATES = peewee.SQL(f"state IN ({', '.join(repr(state.value) for state in sorted(WAITING))})")
IS_SENT = peewee.SQL(f"{WAITING_STATES.sql} AND due IS NULL AND published IS NOT NULL")
MAY_EXPIRE = peewee.SQL(f"{WAITING_STATES.sql} AND expires IS NOT NULL")
HAS_CALLER = peewee.SQL("caller <> ''")
HAS_QUEUE = peewee.SQL("queue IS NOT NULL")


JOB_INDEXES: Mapping[str, PartialIndex] = {
    "job_due": PartialIndex("due", peewee.SQL("due IS NOT NULL"), "due"),
    "job_holder": PartialIndex("holder", STARTED, "state, holder"),
    "job_sent": PartialIndex("task, queue, published, due", IS_SENT, "state, task, queue, published, due"),
    "job_expires": PartialIndex("expires", MAY_EXPIRE, "state, expires"),
    "job_caller": PartialIndex("caller, created, uuid", HAS_CALLER, "caller, created, uuid"),
    "job_queue": PartialIndex("queue, created, uuid", HAS_QUEUE, "queue, created, uuid"),
}
