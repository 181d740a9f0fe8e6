"""Who does a duty that one process is enough for: a row with its holder, and a beat that it moves on."""

from typing import NamedTuple

import peewee

from .. import orm
from .database import Database

_E = orm.Election


class Standing(NamedTuple):
    """Who holds the duty, and the beat that was seen; no clock is in it."""

    holder: str
    beat: int


class ElectionStore:
    """One duty in one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database, duty: str) -> None:
        self._database = database
        self._duty = duty

    def standing(self) -> Standing | None:
        """How it stands; ``None`` when nobody holds it."""
        query = _E.select(_E.holder, _E.beat).where(_E.duty == self._duty).tuples()
        found = self._database.read(lambda db: list(query.execute(db)))
        return Standing(*found[0]) if found else None

    def take(self, candidate: str, seen: Standing | None) -> bool:
        """Take it from whoever was seen, or where nobody was; false when another has, or the beat has moved."""
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
        """Move the beat on; false when somebody else has taken it."""
        moved = _E.update({_E.beat: _E.beat + 1}).where(_E.duty == self._duty, _E.holder == holder)
        return bool(self._database.write(moved.execute))

    def resign(self, holder: str) -> None:
        """Leave it to whoever looks first; nothing, when somebody else has it."""
        self._database.write(_E.delete().where(_E.duty == self._duty, _E.holder == holder).execute)
