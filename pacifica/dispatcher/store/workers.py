"""The heartbeats of the workers, and the jobs that each of them holds.

A worker increments the ``beat`` of its row. An observer decides by the monotonic clock of its own process whether a
beat has stopped; it compares no clocks of two machines.
"""

from collections.abc import Sequence
from typing import NamedTuple

import peewee

from .. import orm
from ..core import strict_json
from ..core.job import ClaimKey
from .database import Database

_W, _J = orm.Worker, orm.Job


class Serving(NamedTuple):
    """How many jobs a worker runs at once, and the queues that it serves; none while it is not connected."""

    capacity: int = 1
    queues: Sequence[str] = ()


NOT_KNOWN = Serving()


class WorkerStore:
    """The workers of one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def beat(self, holder: str, name: str, *, at: int, serving: Serving = NOT_KNOWN) -> None:
        """Increment the worker's beat, or register it: it is new, or was declared dead while it was stopped."""

        queues = strict_json.dumps(sorted(serving.queues)) if serving.queues else None

        def change(db: peewee.Database) -> None:
            news = {_W.capacity: serving.capacity, _W.queues: queues}
            moved = _W.update({_W.beat: _W.beat + 1, **news}).where(_W.id == holder).execute(db)
            if not moved:
                # A new value: an observer that saw the old one stop would declare the worker dead at once.
                _W.insert({_W.id: holder, _W.name: name, _W.beat: at, _W.since: at, **news}).execute(db)

        self._database.write(change)

    def beats(self) -> dict[str, int]:
        """The beat of each registered worker."""
        return dict(self._database.rows(_W.select(_W.id, _W.beat)))

    def names(self) -> set[str]:
        """The Celery name of each registered worker."""
        return {name for (name,) in self._database.rows(_W.select(_W.name).distinct())}

    def holders(self) -> set[str]:
        """The ids of the workers that hold STARTED jobs, registered or not."""
        query = _J.select(_J.holder).where(orm.STARTED).distinct()
        return {row[0] for row in self._database.rows(query)}

    def held(self, holder: str, *, limit: int) -> list[ClaimKey]:
        """At most ``limit`` claims of one worker on STARTED jobs."""
        query = _J.select(_J.uuid, _J.claim).where(orm.STARTED, _J.holder == holder).limit(limit)
        return [ClaimKey(*row) for row in self._database.rows(query)]

    def to_cancel(self, holder: str) -> list[str]:
        """The UUIDs of the worker's STARTED jobs that are to be cancelled."""
        query = _J.select(_J.uuid).where(orm.STARTED, _J.holder == holder, _J.cancel)
        return [row[0] for row in self._database.rows(query)]

    def forget(self, holders: Sequence[str]) -> None:
        """Delete the rows of these workers."""
        self._database.write(_W.delete().where(_W.id.in_(holders)).execute)
