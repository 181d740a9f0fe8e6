"""Celery's saved groups: which jobs ``GroupResult.restore`` finds; the purge deletes them."""

from typing import Any

import peewee

from .. import orm
from ..core import strict_json
from .database import Database

_G = orm.SavedGroup


class SavedGroupStore:
    """The saved groups of one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, group: str, members: Any, last_job: str) -> None:
        """Save the members, a JSON value, in place of those that were saved before; they are purged with the job."""

        def change(db: peewee.Database) -> None:
            _G.delete().where(_G.id == group).execute(db)
            _G.insert(id=group, members=strict_json.dumps(members), job=last_job).execute(db)

        self._database.write(change)

    def members(self, group: str) -> Any:
        """The members; ``None`` for a group that is not saved."""
        rows = self._database.rows(_G.select(_G.members).where(_G.id == group))
        return strict_json.loads(rows[0][0]) if rows else None

    def delete(self, group: str) -> None:
        """Delete the group, if it is saved; its jobs stay."""
        self._database.write(lambda db: _G.delete().where(_G.id == group).execute(db))
