"""Leader election: one row for each duty, with the leader and a beat that the leader increments."""

from typing import NamedTuple

import peewee

from .. import orm
from .database import Database

_E = orm.Election


class Leadership(NamedTuple):
    """The leader of a duty, and the beat that was read."""

    holder: str
    beat: int


class ElectionStore:
    """One duty in one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database, duty: str) -> None:
        self._database = database
        self._duty = duty

    def leadership(self) -> Leadership | None:
        """The current leader and its beat; ``None`` if the duty has no leader."""
        query = _E.select(_E.holder, _E.beat).where(_E.duty == self._duty)
        found = self._database.rows(query)
        return Leadership(*found[0]) if found else None

    def take(self, candidate: str, seen: Leadership | None) -> bool:
        """Become the leader in place of ``seen``; false if another candidate was faster, or the beat has moved."""
        row = {_E.duty: self._duty, _E.holder: candidate, _E.beat: 1}

        def change(db: peewee.Database) -> bool:
            if seen is None:
                _E.insert(row).on_conflict_ignore().execute(db)
                mine = _E.select().where(_E.duty == self._duty, _E.holder == candidate)
                return bool(mine.count(db))
            same = (_E.holder == seen.holder, _E.beat == seen.beat)
            taken = _E.update({_E.holder: candidate, _E.beat: _E.beat + 1}).where(_E.duty == self._duty, *same)
            return bool(taken.execute(db))

        return self._database.write(change)

    def renew(self, holder: str) -> bool:
        """Increment the beat; false if another process has become the leader."""
        moved = _E.update({_E.beat: _E.beat + 1}).where(_E.duty == self._duty, _E.holder == holder)
        return bool(self._database.write(moved.execute))

    def resign(self, holder: str) -> None:
        """Give up the duty; no change if another process is the leader."""
        self._database.write(_E.delete().where(_E.duty == self._duty, _E.holder == holder).execute)
