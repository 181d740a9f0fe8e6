"""The outbox: jobs whose row is committed and whose message the broker has not confirmed.

Any relay may publish a job from the time ``due``. A relay that takes a job moves ``due`` into the future by its lease,
so that others leave the job alone, and clears it once the broker has confirmed the message. If the relay dies, the
job becomes due again.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import peewee

from .. import orm
from ..core.job import OutboxEntry, State
from . import mapping
from .committed_event import REFUSED, SENT, CommittedEvent, OnEvent
from .database import Database
from .prepared import Prepared, slot

_J = orm.Job
SIZES = (1, 10, 100)
"""The lengths of the prepared IN lists; a shorter list is filled by repeating its last id."""
MOST_SENT_AGAIN = 500
"""The most jobs that one transaction puts into the outbox again."""


class Kind(NamedTuple):
    """Jobs of one task and queue, whose messages the broker puts into the same queue."""

    task: str
    queue: str | None


class Backlog(NamedTuple):
    """The jobs to be sent: how many, since when the oldest waits, and whether these are ``all``."""

    jobs: int
    since: int | None
    all: bool


class PreparedForIds:
    """A prepared statement with an IN list of 1, 10 or 100 ids."""

    def __init__(self, database: peewee.Database, query: Callable[[peewee.Expression], peewee.Query]) -> None:
        self._by_size = {
            size: Prepared(database, query(_J.uuid.in_([slot(str(place)) for place in range(size)]))) for size in SIZES
        }

    def run(self, uuids: Sequence[str], **values: Any) -> list[Any]:
        """Execute it for all the jobs, some at a time; returns the cursors."""
        cursors = []
        for first in range(0, len(uuids), SIZES[-1]):
            chunk = uuids[first : first + SIZES[-1]]
            size = next(size for size in SIZES if size >= len(chunk))
            named = {str(place): chunk[min(place, len(chunk) - 1)] for place in range(size)}
            cursors.append(self._by_size[size].run({**values, **named}))
        return cursors


class Outbox:
    """The outbox of one database; raises ``DatabaseUnavailable`` and calls ``on_event`` as ``JobStore`` does."""

    def __init__(self, database: Database, *, on_event: OnEvent = lambda _: None) -> None:
        self._database = database
        self._on_event = on_event
        same = _J.version == slot("version")
        mark = {_J.published: slot("at"), _J.due: None, _J.version: _J.version + 1}
        self._find = PreparedForIds(database.peewee, lambda these: _J.select(_J.uuid).where(these, same))
        self._mark = PreparedForIds(database.peewee, lambda these: _J.update(mark).where(these, same))

    def take(self, *, at: int, lease: int, limit: int) -> list[OutboxEntry]:
        """Take at most ``limit`` due jobs, oldest first; no other relay gets them for ``lease`` microseconds."""
        columns = [getattr(_J, column) for column in mapping.OUTBOX_COLUMNS]
        due = _J.select(*columns).where(_J.due <= at).order_by(_J.due).limit(limit)
        # First without a write lock: an idle relay must not delay SQLite's writers.
        if not self._database.rows(due):
            return []

        def change(db: peewee.Database) -> list[Sequence[Any]]:
            query = due if self._database.sqlite else due.for_update(skip_locked=True)
            found = list(query.tuples().execute(db))
            _J.update({_J.due: at + lease}).where(_J.uuid.in_([row[0] for row in found])).execute(db)
            return found

        return [mapping.outbox_entry_from_row(row) for row in self._database.write(change)]

    def mark_published(self, entries: Sequence[OutboxEntry], *, at: int) -> None:
        """Record that the broker has confirmed these messages.

        A job that has changed since stays as it is: it may be in the outbox again, with another message to send.
        """
        by_version = _by_version(entries)

        def find(_: peewee.Database) -> dict[int, list[str]]:
            found = {version: self._find.run(uuids, version=version) for version, uuids in by_version.items()}
            return {version: [row[0] for one in cursors for row in one] for version, cursors in found.items()}

        def change(_: peewee.Database) -> None:
            for version, uuids in waiting.items():
                self._mark.run(uuids, version=version, at=at)

        # Workers have claimed most of them by now, which needs no mark; this read takes no write lock.
        waiting = self._database.read(find)
        if any(waiting.values()):
            self._database.write(change)
        for entry in entries:
            self._on_event(
                CommittedEvent(SENT, entry.uuid, at, task=entry.task, queue=entry.queue, headers=entry.headers)
            )

    def release(self, unsent: Sequence[OutboxEntry], *, at: int) -> None:
        """Let any relay publish these jobs from now on; a job that has changed since keeps its own time."""

        def change(db: peewee.Database) -> None:
            for version, uuids in _by_version(unsent).items():
                same = (_J.uuid.in_(uuids), _J.version == version, _J.due.is_null(is_null=False))
                _J.update({_J.due: at}).where(*same).execute(db)

        if unsent:
            self._database.write(change)

    def defer(self, job: OutboxEntry, *, at: int, until: int, reason: str) -> None:
        """Keep a refused job in the outbox until the time ``until``, and record the reason as an event.

        However often it is refused, it does not delay other jobs. A job that has changed since stays as it is.
        """
        same = (_J.uuid == job.uuid, _J.version == job.version, _J.due.is_null(is_null=False))
        event = {"job": job.uuid, "at": at, "kind": REFUSED, "data": mapping.to_text({"reason": reason})}

        def change(db: peewee.Database) -> None:
            if _J.update({_J.due: until}).where(*same).execute(db):
                orm.Event.insert(event).execute(db)

        self._database.write(change)

    def recall(self, *, at: int, lease: int, longest: int = 0) -> None:
        """Make jobs due whose ``due`` lies further in the future than two of any relay's leases.

        A job that was put off, by at most ``longest`` microseconds, stays as it is if its other times are past.

        There are such jobs after a clock was set back. Jobs that wait for their ``eta`` stay as they are, and a
        ``published`` time in the future becomes the present time. The second lease is for the jobs that another relay
        takes after the time ``at``: this statement may be delayed, and the clock of the other's machine may be ahead.
        """
        ahead = at + 2 * lease
        not_scheduled = _J.eta.is_null() | (_J.due != _J.eta)
        by_a_clock = (_J.created > ahead) | (_J.started > ahead) | (_J.due > ahead + longest)
        for column, late in (
            (_J.due, (_J.due > ahead, not_scheduled, by_a_clock)),
            (_J.published, (orm.WAITING_STATES, _J.due.is_null(), _J.published > ahead)),
        ):
            if self._database.rows(_J.select(_J.uuid).where(*late).limit(1)):  # This takes no write lock.
                self._database.write(_J.update({column: at}).where(*late).execute)

    def waiting(self) -> list[Kind]:
        """The kinds of the jobs whose messages were sent and that no worker has claimed."""
        query = _J.select(_J.task, _J.queue).where(*_SENT).distinct()
        return [Kind(*row) for row in self._database.rows(query)]

    def count_sent(self, kind: Kind, *, since: int, until: int, limit: int) -> int:
        """How many waiting jobs of a kind were sent in ``since <= t < until``, counted up to ``limit``."""
        sent = (_J.published >= since, _J.published < until)
        few = _J.select(_J.published).where(*_SENT, *_of(kind), *sent).limit(limit)
        return self._database.read(few.count)

    def sent_first(self, kind: Kind, *, until: int, limit: int) -> list[tuple[int, str]]:
        """The times and UUIDs of the waiting jobs of a kind whose messages were sent first, before ``until``."""
        query = _J.select(_J.published, _J.uuid).where(*_SENT, *_of(kind), _J.published < until)
        return self._database.rows(query.order_by(_J.published).limit(limit))

    def send_again(self, uuids: Sequence[str], *, at: int) -> None:
        """Put jobs that were published and still wait into the outbox again."""
        for first in range(0, len(uuids), MOST_SENT_AGAIN):
            few = _J.uuid.in_(uuids[first : first + MOST_SENT_AGAIN])
            self._database.write(_J.update({_J.due: at}).where(few, orm.WAITING_STATES, _J.due.is_null()).execute)

    def backlog(self, *, at: int, limit: int) -> Backlog:
        """The jobs whose messages are to be sent by the time ``at``; counts the ``limit`` that are due first."""
        few = _J.select(_J.eta, WAITS_SINCE.alias("since")).where(_J.due.is_null(is_null=False))
        few = few.order_by(_J.due).limit(limit).alias("few")
        waits = few.c.eta.is_null() | (few.c.eta <= at)
        columns = (peewee.Case(None, [(waits, 1)]), peewee.Case(None, [(waits, few.c.since)]), peewee.SQL("1"))
        query = few.select_from(peewee.fn.COUNT(columns[0]), peewee.fn.MIN(columns[1]), peewee.fn.COUNT(columns[2]))
        jobs, since, counted = self._database.rows(query)[0]
        return Backlog(jobs, since, all=counted < limit)


WAITS_SINCE = peewee.Case(
    None, [(_J.state == State.RETRY.value, _J.eta)], peewee.fn.COALESCE(_J.started, _J.eta, _J.created)
)
"""The time since which a job waits: a scheduled job since its ``eta``, a lost job since it was started."""
_SENT = (orm.WAITING_STATES, _J.due.is_null(), _J.published.is_null(is_null=False))


def _of(kind: Kind) -> tuple[peewee.Node, peewee.Node]:
    return _J.task == kind.task, _J.queue.is_null() if kind.queue is None else _J.queue == kind.queue


def _by_version(jobs: Sequence[OutboxEntry]) -> dict[int, list[str]]:
    """The UUIDs by the version of the row from which the message was made; nearly all have the same version."""
    versions: dict[int, list[str]] = {}
    for job in jobs:
        versions.setdefault(job.version, []).append(job.uuid)
    return versions
