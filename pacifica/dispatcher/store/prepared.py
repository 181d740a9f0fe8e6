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
        self._sql, self._parameters = database.get_sql_context().sql(query).query()

    def run(self, values: Mapping[str, Any]) -> Any:
        """The cursor after the statement has run with these values, one for each slot."""
        return self._database.execute_sql(
            self._sql, [values[p.name] if isinstance(p, _Slot) else p for p in self._parameters]
        )


def insert(model: type[peewee.Model], columns: Sequence[str]) -> peewee.Query:
    """An INSERT whose columns are slots of their own names."""
    return model.insert({getattr(model, column): slot(column) for column in columns})
