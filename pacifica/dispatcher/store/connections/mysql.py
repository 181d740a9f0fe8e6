"""Statements that MySQL and MariaDB carry out along the index that we name.

For a list of keys they read a small table from end to end, and a DELETE or a lock then waits for every row in it
that somebody else holds.
"""

import re
from typing import Any

import peewee

from ...dialect import is_mysql

_FROM = re.compile(r"(DELETE )?FROM (`\w+`(?: AS `\w+`)?)")


def along(db: peewee.Database, query: peewee.Query, index: str = "PRIMARY") -> Any:
    """The cursor of a SELECT or DELETE of one table, inside the caller's transaction."""
    sql, values = db.get_sql_context().sql(query).query()
    if is_mysql(db):
        sql = _FROM.sub(lambda found: _hinted(found, index), sql, count=1)
    return db.execute_sql(sql, values)


def _hinted(found: re.Match[str], index: str) -> str:
    """A DELETE takes a hint only where it names its table twice."""
    delete, table = found.groups()
    return f"{f'DELETE {table} ' if delete else ''}FROM {table} FORCE INDEX (`{index}`)"
