"""All tables, for an empty database, a database without a migration history, or one with the historical table."""

from typing import Any

import peewee

from pacifica.dispatcher.dialect import KEY_LENGTH, LongTextField, PartialIndex, SequenceField, WithoutRowid
from pacifica.dispatcher.migrations import historical, tables

STATES = "'PENDING', 'STARTED', 'RETRY', 'SUCCESS', 'FAILURE', 'REVOKED'"


class Job(peewee.Model):
    uuid = peewee.CharField(36, primary_key=True)
    task = peewee.CharField(KEY_LENGTH)
    args = LongTextField()
    kwargs = LongTextField()
    queue = peewee.CharField(KEY_LENGTH, null=True)
    priority = peewee.IntegerField(null=True)
    eta = peewee.BigIntegerField(null=True)
    expires = peewee.BigIntegerField(null=True)
    state = peewee.CharField(16, constraints=[peewee.Check(f"state IN ({STATES})")])
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
        indexes = (
            (("created", "uuid"), False),
            (("task", "created", "uuid"), False),
            (("state", "created", "uuid"), False),
        )


class Label(peewee.Model):
    name = peewee.CharField(KEY_LENGTH)
    value = peewee.CharField(KEY_LENGTH)
    created = peewee.BigIntegerField()
    job = peewee.CharField(36)

    class Meta:
        table_name = "label"
        primary_key = peewee.CompositeKey("job", "name")
        indexes = ((("name", "value", "created", "job"), False), (("name", "created", "job"), False))


class Event(peewee.Model):
    id = SequenceField()
    job = peewee.CharField(36)
    at = peewee.BigIntegerField()
    kind = peewee.CharField(32)
    data = LongTextField(null=True)

    class Meta:
        table_name = "event"
        indexes = ((("job", "id"), False),)


class Worker(peewee.Model):
    id = peewee.CharField(36, primary_key=True)
    name = peewee.CharField(KEY_LENGTH)
    beat = peewee.BigIntegerField()
    since = peewee.BigIntegerField()
    capacity = peewee.IntegerField(default=1)
    queues = LongTextField(null=True)

    class Meta:
        table_name = "worker"


class Idempotency(peewee.Model):
    digest = peewee.CharField(64, primary_key=True)
    fingerprint = peewee.CharField(64)
    job = peewee.CharField(36)
    created = peewee.BigIntegerField(index=True)

    class Meta:
        table_name = "idempotency"


class Message(peewee.Model):
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
    id = peewee.CharField(36, primary_key=True)
    name = peewee.CharField(KEY_LENGTH, index=True)
    digest = peewee.CharField(64, unique=True)
    scopes = LongTextField()
    own = peewee.BooleanField(default=False)
    expires = peewee.BigIntegerField(null=True)
    created = peewee.BigIntegerField()

    class Meta:
        table_name = "token"


class Tombstone(peewee.Model):
    job = peewee.BinaryUUIDField(primary_key=True)
    hour = peewee.IntegerField()

    class Meta:
        table_name = "tombstone"
        schema_manager_class = WithoutRowid


class SavedGroup(peewee.Model):
    id = peewee.CharField(36, primary_key=True)
    members = LongTextField()
    job = peewee.CharField(36, index=True)

    class Meta:
        table_name = "saved_group"


class Election(peewee.Model):
    duty = peewee.CharField(32, primary_key=True)
    holder = peewee.CharField(36)
    beat = peewee.BigIntegerField()

    class Meta:
        table_name = "election"


class EventCounts(peewee.Model):
    id = peewee.IntegerField(primary_key=True)
    upto = peewee.BigIntegerField()
    counts = LongTextField()

    class Meta:
        table_name = "event_counts"


class JobMinutes(peewee.Model):
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


MODELS = (
    *(Job, Label, Event, Worker, Idempotency, Message, Binding, Token, Tombstone, SavedGroup, Election),
    *(EventCounts, JobMinutes),
)
STARTED = peewee.SQL("state = 'STARTED'")
FAILED = peewee.SQL("state = 'FAILURE'")
WAITING = "state IN ('PENDING', 'RETRY')"
IS_SENT = peewee.SQL(f"{WAITING} AND due IS NULL AND published IS NOT NULL")
MAY_EXPIRE = peewee.SQL(f"{WAITING} AND expires IS NOT NULL")
INDEXES = {
    "job_due": PartialIndex("due", peewee.SQL("due IS NOT NULL"), "due"),
    "job_ready": PartialIndex(
        "target_queue, target_priority, due, created",
        peewee.SQL("due IS NOT NULL"),
        "target_queue, target_priority, due, created",
    ),
    "job_holder": PartialIndex("holder", STARTED, "state, holder"),
    "job_sent": PartialIndex("task, queue, published, due", IS_SENT, "state, task, queue, published, due"),
    "job_expires": PartialIndex("expires", MAY_EXPIRE, "state, expires"),
    "job_caller": PartialIndex("caller, created, uuid", peewee.SQL("caller <> ''"), "caller, created, uuid"),
    "job_queue": PartialIndex("queue, created, uuid", peewee.SQL("queue IS NOT NULL"), "queue, created, uuid"),
    "job_failed": PartialIndex("task, created, uuid", FAILED, "state, task, created, uuid"),
}


def up(_: Any, db: peewee.Database) -> None:
    """Create the tables and indexes that are missing, and turn the rows of the historical table into jobs."""
    tables.create(db, MODELS)
    for name, index in INDEXES.items():
        tables.create_partial_index(db, "job", name, index)
    historical.take_over(db, Job, Event)


def down(_: Any, db: peewee.Database) -> None:
    """Drop all tables of this service; the historical table stays as it was."""
    tables.drop(db, MODELS)
