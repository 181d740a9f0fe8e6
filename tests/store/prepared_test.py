"""Prepared statements on each database."""

from contextlib import closing

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.prepared import Prepared, PreparedRows, slot


def test_a_prepared_statement_is_executed_with_new_values(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        database.wait_until_up(1, 0.0)
        add = PreparedRows(database.peewee, orm.Event, ("job", "at", "kind", "data"))
        query = orm.Event.select(orm.Event.kind).where(orm.Event.job == slot("job"), orm.Event.at == 5)
        find = Prepared(database.peewee, query)
        for job in ("a", "b'; --", "%s"):
            database.write(lambda _, job=job: add.run([{"job": job, "at": 5, "kind": f"k{job}", "data": None}]))
        for job in ("a", "b'; --", "%s"):
            found = database.read(lambda _, job=job: find.run({"job": job}).fetchall())
            assert [row[0] for row in found] == [f"k{job}"]


def test_a_prepared_statement_requires_a_value_for_each_slot(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        query = Prepared(database.peewee, orm.Event.select().where(orm.Event.job == slot("job")))
        with pytest.raises(KeyError, match="job"):
            database.read(lambda _: query.run({}))
