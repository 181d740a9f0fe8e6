"""Statements that PeeWee builds once and that are then run many times.

Building a query costs more than SQLite needs to carry it out; the text of a hot statement never changes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import peewee


class _Slot:
    """Where a value goes that is known only when the statement is run."""

    def __init__(self, name: str) -> None:
        self.name = name


def slot(name: str) -> peewee.Value:
    """A place in a query that takes the value of this name at each run, as it is."""
    return peewee.Value(_Slot(name), converter=lambda value: value)


class Prepared:
    """The SQL of one query for one database; ``slot``s in it become parameters."""

    def __init__(self, database: peewee.Database, query: peewee.Query) -> None:
        self._database = database
        self.sql, self._parameters = database.get_sql_context().sql(query).query()

    def run(self, values: Mapping[str, Any]) -> Any:
        """The cursor after the statement has run with these values, one for each slot."""
        return self._database.execute_sql(self.sql, self.parameters(values))

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        """The parameters of ``sql``, in order, with these values in its slots."""
        return [values[p.name] if isinstance(p, _Slot) else p for p in self._parameters]


MOST_ROWS = 32
"""Rows of one statement: with 29 columns they stay below the 999 values that any SQLite takes."""


class PreparedRows:
    """An INSERT of many rows, of which each has these columns; as few statements as it takes, each built once."""

    def __init__(self, database: peewee.Database, model: type[peewee.Model], columns: Sequence[str]) -> None:
        self._database = database
        self._model = model
        self._row = {getattr(model, column): slot(column) for column in columns}
        self._statements: dict[int, str] = {}
        self._order = [value.name for value in self._built(1)[1]]

    def run(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert the rows, in order."""
        first = 0
        while first < len(rows):
            number = min(1 << ((len(rows) - first).bit_length() - 1), MOST_ROWS)
            values = [row[column] for row in rows[first : first + number] for column in self._order]
            self._database.execute_sql(self._statement(number), values)
            first += number

    def _statement(self, number: int) -> str:
        if number not in self._statements:
            self._statements[number] = self._built(number)[0]
        return self._statements[number]

    def _built(self, number: int) -> tuple[str, list[Any]]:
        query = self._model.insert_many([self._row] * number)
        text, values = self._database.get_sql_context().sql(query).query()
        return text, values


def insert(model: type[peewee.Model], columns: Sequence[str]) -> peewee.Query:
    """An INSERT whose columns are slots of their own names."""
    return model.insert({getattr(model, column): slot(column) for column in columns})
