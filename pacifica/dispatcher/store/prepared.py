"""Prepared statements: PeeWee builds their SQL once, and they are executed many times.

For a short statement PeeWee needs longer to build the SQL than SQLite needs to execute it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import peewee


@dataclass(frozen=True)
class _Slot:
    name: str


def slot(name: str) -> peewee.Value:
    """A placeholder in a query; each execution gives it the value of this name, without conversion."""
    return peewee.Value(_Slot(name), converter=lambda value: value)


class Prepared:
    """The SQL of one query for one database; its slots become parameters."""

    def __init__(self, database: peewee.Database, query: peewee.Query) -> None:
        self._database = database
        self.sql, self._parameters = database.get_sql_context().sql(query).query()

    def run(self, values: Mapping[str, Any]) -> Any:
        """Execute the statement with a value for each slot; returns the cursor."""
        return self._database.execute_sql(self.sql, self.parameters(values))

    def run_many(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute the statement for each of the rows."""
        if len(rows) == 1:  # psycopg would open a pipeline for it.
            self.run(rows[0])
            return
        with peewee.__exception_wrapper__:  # type: ignore[attr-defined] # PeeWee itself has no executemany.
            self._database.cursor().executemany(self.sql, [self.parameters(values) for values in rows])

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        """The parameters of ``sql``, in order, with the values of the slots."""
        return [values[p.name] if isinstance(p, _Slot) else p for p in self._parameters]


MOST_ROWS = 32
"""The most rows of one statement: with 29 columns, 32 rows stay below SQLite's smallest limit of 999 parameters."""


class PreparedRows:
    """An INSERT of many rows with these columns, at least two, in few statements, each of which is built once.

    ``keep``: a row whose key exists is not inserted, and the existing one stays as it is.
    """

    def __init__(
        self, database: peewee.Database, model: type[peewee.Model], columns: Sequence[str], *, keep: bool = False
    ) -> None:
        self._database = database
        self._model = model
        self._keep = keep
        self._row = {getattr(model, column): slot(column) for column in columns}
        self._statements: dict[int, str] = {}
        slots = self._built(1)[1]
        self._values_of = itemgetter(*(one.name for one in slots))

    def run(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert the rows, in order."""
        first = 0
        while first < len(rows):
            number = min(1 << ((len(rows) - first).bit_length() - 1), MOST_ROWS)
            values = [value for row in rows[first : first + number] for value in self._values_of(row)]
            self._database.execute_sql(self._statements.get(number) or self._built(number)[0], values)
            first += number

    def _built(self, number: int) -> tuple[str, Sequence[_Slot]]:
        """Build the statement for so many rows, and keep it; returns it with its slots."""
        query = self._model.insert_many([self._row] * number)
        if self._keep:
            query = query.on_conflict_ignore()
        self._statements[number], slots = self._database.get_sql_context().sql(query).query()
        return self._statements[number], slots
