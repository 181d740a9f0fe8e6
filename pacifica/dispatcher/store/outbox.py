"""The outbox: jobs whose row is committed and whose message the broker has not confirmed.

``due`` is the time from which any relay may publish a job; a relay that takes it moves ``due`` on
by a lease, so that others leave it alone, and clears it once the broker has confirmed. A relay that
dies loses nothing: the job comes due again.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import peewee

from .. import orm
from ..core.job import OutboxEntry, State
from . import mapping
from .database import Database
from .prepared import Prepared, slot

_J = orm.Job
SIZES = (1, 10, 100)
"""Of how many jobs the prepared statements speak; the last one is named again where there are fewer."""
REFUSED = "REFUSED"
"""The kind of the event of a job whose message the broker did not take."""


class Kind(NamedTuple):
    """Jobs that go the same way to the broker."""

    task: str
    queue: str | None


class Backlog(NamedTuple):
    """What waits to be sent: how many jobs, the oldest of them since when, and whether there are no more of them."""

    jobs: int
    since: int | None
    all: bool


class Several:
    """A statement about many jobs, prepared for a few numbers of them."""

    def __init__(self, database: peewee.Database, query: Callable[[peewee.Expression], peewee.Query]) -> None:
        self._by_size = {
            size: Prepared(database, query(_J.uuid.in_([slot(str(place)) for place in range(size)]))) for size in SIZES
        }

    def run(self, uuids: Sequence[str], **values: Any) -> list[Any]:
        """The cursors after it has run, for some of the jobs each."""
        cursors = []
        for first in range(0, len(uuids), SIZES[-1]):
            these = uuids[first : first + SIZES[-1]]
            size = next(size for size in SIZES if size >= len(these))
            named = {str(place): these[min(place, len(these) - 1)] for place in range(size)}
            cursors.append(self._by_size[size].run({**values, **named}))
        return cursors


class Outbox:
    """The outbox of one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        same = _J.version == slot("version")
        mark = {_J.published: slot("at"), _J.due: None, _J.version: _J.version + 1}
        self._find = Several(database.peewee, lambda these: _J.select(_J.uuid).where(these, same))
        self._mark = Several(database.peewee, lambda these: _J.update(mark).where(these, same))

    def take(self, *, at: int, lease: int, limit: int) -> list[OutboxEntry]:
        """The jobs that are due, at most ``limit``, oldest first; nobody else gets them for ``lease`` microseconds."""
        columns = [getattr(_J, column) for column in mapping.OUTGOING_COLUMNS]
        due = _J.select(*columns).where(_J.due <= at).order_by(_J.due).limit(limit)
        # A look without a write lock: an idle relay must not disturb SQLite's writers.
        if not self._database.read(lambda db: list(due.tuples().execute(db))):
            return []

        def change(db: peewee.Database) -> list[Sequence[Any]]:
            query = due if self._database.sqlite else due.for_update(skip_locked=True)
            found = list(query.tuples().execute(db))
            _J.update({_J.due: at + lease}).where(_J.uuid.in_([row[0] for row in found])).execute(db)
            return found

        return [mapping.outgoing_from_row(row) for row in self._database.write(change)]

    def mark_published(self, sent: Sequence[OutboxEntry], *, at: int) -> None:
        """Note that the broker has confirmed these messages.

        A job that has moved since stays as it is: it may be in the outbox again, with another message to send.
        """

        by_version = _by_version(sent)

        def look(_: peewee.Database) -> dict[int, list[str]]:
            found = {version: self._find.run(uuids, version=version) for version, uuids in by_version.items()}
            return {version: [row[0] for one in cursors for row in one] for version, cursors in found.items()}

        def change(_: peewee.Database) -> None:
            for version, uuids in waiting.items():
                self._mark.run(uuids, version=version, at=at)

        # Most have been claimed by now, which says as much; a look takes no write lock.
        waiting = self._database.read(look)
        if any(waiting.values()):
            self._database.write(change)

    def release(self, unsent: Sequence[OutboxEntry], *, at: int) -> None:
        """Let any relay publish these jobs from now on; one that has moved since keeps its own time."""

        def change(db: peewee.Database) -> None:
            for version, uuids in _by_version(unsent).items():
                same = (_J.uuid.in_(uuids), _J.version == version, _J.due.is_null(is_null=False))
                _J.update({_J.due: at}).where(*same).execute(db)

        if unsent:
            self._database.write(change)

    def defer(self, job: OutboxEntry, *, at: int, until: int, reason: str) -> None:
        """Leave a job that cannot be sent alone until then, and tell its history why; one that has moved since stays.

        So it keeps no other one back, however often it is refused.
        """
        same = (_J.uuid == job.uuid, _J.version == job.version, _J.due.is_null(is_null=False))
        event = {"job": job.uuid, "at": at, "kind": REFUSED, "data": mapping.to_text({"reason": reason})}

        def change(db: peewee.Database) -> None:
            if _J.update({_J.due: until}).where(*same).execute(db):
                orm.Event.insert(event).execute(db)

        self._database.write(change)

    def recall(self, *, at: int, lease: int) -> None:
        """Make due what no relay can have in hand: its time lies further ahead than a relay leases a job for.

        A clock that went back leaves such jobs behind. What waits for its ``eta`` is not touched, and
        what was published in the future counts as published now.
        """
        ahead = at + lease
        in_hand = _J.eta.is_null() | (_J.due != _J.eta)
        due = _J.update({_J.due: at}).where(_J.due > ahead, in_hand)
        published = _J.update({_J.published: at}).where(orm.WAITING_STATES, _J.due.is_null(), _J.published > ahead)
        self._database.write(lambda db: (due.execute(db), published.execute(db)))

    def waiting(self) -> list[Kind]:
        """The kinds of jobs whose messages were sent and that nobody has claimed."""
        query = _J.select(_J.task, _J.queue).where(*_SENT).distinct().tuples()
        return [Kind(*row) for row in self._database.read(lambda db: list(query.execute(db)))]

    def count_sent(self, kind: Kind, *, since: int, until: int, limit: int) -> int:
        """How many jobs of a kind wait whose messages were sent in ``since <= t < until``, counted up to ``limit``."""
        sent = (_J.published >= since, _J.published < until)
        few = _J.select(_J.published).where(*_SENT, *_of(kind), *sent).limit(limit)
        return self._database.read(few.count)

    def sent_first(self, kind: Kind, *, until: int, limit: int) -> list[tuple[int, str]]:
        """When the messages of a kind were sent, and of which jobs, that still wait; those sent first."""
        query = _J.select(_J.published, _J.uuid).where(*_SENT, *_of(kind), _J.published < until)
        first = query.order_by(_J.published).limit(limit).tuples()
        return self._database.read(lambda db: list(first.execute(db)))

    def send_again(self, uuids: Sequence[str], *, at: int) -> None:
        """Put jobs back that were published and are still waiting."""
        query = _J.update({_J.due: at}).where(_J.uuid.in_(uuids), orm.WAITING_STATES, _J.due.is_null())
        self._database.write(query.execute)

    def backlog(self, *, at: int, limit: int) -> Backlog:
        """The jobs whose message is to be sent, without those for later than ``at``; the ``limit`` due first count."""
        few = _J.select(_J.eta, WAITS_SINCE.alias("since")).where(_J.due.is_null(is_null=False))
        few = few.order_by(_J.due).limit(limit).alias("few")
        waits = few.c.eta.is_null() | (few.c.eta <= at)
        columns = (peewee.Case(None, [(waits, 1)]), peewee.Case(None, [(waits, few.c.since)]), peewee.SQL("1"))
        query = few.select_from(peewee.fn.COUNT(columns[0]), peewee.fn.MIN(columns[1]), peewee.fn.COUNT(columns[2]))
        jobs, since, looked_at = self._database.read(lambda db: next(iter(query.tuples().execute(db))))
        return Backlog(jobs, since, all=looked_at < limit)


WAITS_SINCE = peewee.Case(
    None, [(_J.state == State.RETRY.value, _J.eta)], peewee.fn.COALESCE(_J.started, _J.eta, _J.created)
)
"""Since when a job waits: a scheduled one since its time, one that was lost since it was started."""
_SENT = (orm.WAITING_STATES, _J.due.is_null(), _J.published.is_null(is_null=False))


def _of(kind: Kind) -> tuple[peewee.Node, peewee.Node]:
    return _J.task == kind.task, _J.queue.is_null() if kind.queue is None else _J.queue == kind.queue


def _by_version(jobs: Sequence[OutboxEntry]) -> dict[int, list[str]]:
    """The UUIDs by the version of the row that was sent; nearly all have the same one."""
    versions: dict[int, list[str]] = {}
    for job in jobs:
        versions.setdefault(job.version, []).append(job.uuid)
    return versions
