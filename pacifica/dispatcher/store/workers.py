"""The workers' leases: who is alive, and which jobs each of them holds.

A worker is a row whose ``beat`` it moves on; how often is its own business, and nobody reads a time in it.
Whoever looks judges by the clock of its own process whether a beat has stopped.
"""

from collections.abc import Sequence

import peewee

from .. import orm
from ..core.job import ClaimKey
from .database import Database

_W, _J = orm.Worker, orm.Job
_STARTED = orm.STARTED


class WorkerStore:
    """The leases of one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def beat(self, holder: str, name: str, *, at: int) -> None:
        """Move the worker's beat on, or register it: it is new, or was taken for dead while it was stopped."""

        def change(db: peewee.Database) -> None:
            moved = _W.update({_W.beat: _W.beat + 1}).where(_W.id == holder).execute(db)
            if not moved:
                # Not one that it had before: who saw that stand still would take it for dead again at once.
                _W.insert(id=holder, name=name, beat=at, since=at).execute(db)

        self._database.write(change)

    def beats(self) -> dict[str, int]:
        """The beat of each registered worker."""
        query = _W.select(_W.id, _W.beat).tuples()
        return dict(self._database.read(lambda db: list(query.execute(db))))

    def names(self) -> set[str]:
        """The name of each registered worker, as Celery has it."""
        query = _W.select(_W.name).distinct().tuples()
        return {row[0] for row in self._database.read(lambda db: list(query.execute(db)))}

    def holders(self) -> set[str]:
        """Who holds STARTED jobs, registered or not."""
        query = _J.select(_J.holder).where(_STARTED).distinct().tuples()
        return {row[0] for row in self._database.read(lambda db: list(query.execute(db)))}

    def held(self, holder: str, *, limit: int) -> list[ClaimKey]:
        """The claims of one worker on STARTED jobs, at most ``limit``."""
        query = _J.select(_J.uuid, _J.claim).where(_STARTED, _J.holder == holder).limit(limit).tuples()
        return [ClaimKey(*row) for row in self._database.read(lambda db: list(query.execute(db)))]

    def to_cancel(self, holder: str) -> list[str]:
        """STARTED jobs of one worker that somebody has asked to stop."""
        query = _J.select(_J.uuid).where(_STARTED, _J.holder == holder, _J.cancel == True)  # noqa: E712 - SQL's own
        return [row[0] for row in self._database.read(lambda db: list(query.tuples().execute(db)))]

    def forget(self, holders: Sequence[str]) -> None:
        """Delete the rows of workers that hold nothing any more."""
        self._database.write(_W.delete().where(_W.id.in_(holders)).execute)
