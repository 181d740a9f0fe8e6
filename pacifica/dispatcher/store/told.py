"""A move of a job and the event that tells of it in one statement, which PostgreSQL alone can do.

A transaction of four statements is four waits for the server's answer; one statement is a transaction by itself.
Source: https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING
"""

from collections.abc import Mapping, Sequence
from typing import Any

import peewee

from .. import orm
from .prepared import Prepared

_TOLD = """
WITH moved AS ({move}), told AS (
  INSERT INTO {event} (job, at, kind, data) SELECT {{job}}::text, {{at}}::bigint, {{kind}}::text, {data} FROM moved
)
SELECT {columns} FROM moved
"""


class ToldMove:
    """``move`` is an UPDATE of one job, with no RETURNING of its own; ``columns`` are those of its answer.

    ``data`` is the SQL text of the event's data, which may name ``columns``, and the slots ``{head}`` and ``{tail}``.
    """

    def __init__(
        self, database: peewee.Database, move: peewee.Update, columns: Sequence[str], data: str = "{head}::text"
    ) -> None:
        self._database = database
        self._move = Prepared(database, move.returning(*(getattr(orm.Job, column) for column in columns)))
        text = _TOLD.format(
            move=self._move.sql, event=orm.Event._meta.table_name, data=data, columns=", ".join(columns)
        )
        names = ("job", "at", "kind", *(name for name in ("head", "tail") if f"{{{name}}}" in data))
        self._sql = text.format(**dict.fromkeys(names, "%s"))
        self._names = names

    def run(self, values: Mapping[str, Any], event: Mapping[str, Any]) -> Sequence[Any] | None:
        """The columns of the job that was moved; ``None`` where its guard does not hold, and then no event is told."""
        parameters = [*self._move.parameters(values), *(event[name] for name in self._names)]
        row: Sequence[Any] | None = self._database.execute_sql(self._sql, parameters).fetchone()
        return row
