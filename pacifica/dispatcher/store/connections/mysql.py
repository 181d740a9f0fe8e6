"""Statements with an index hint, for MySQL and MariaDB.

For a list of keys they scan a small table instead of using its index, and a DELETE or a locking SELECT then waits for
every row of the table that another transaction has locked.
"""

import re
from typing import Any

import peewee

from ...dialect import is_mysql

_FROM = re.compile(r"(DELETE )?FROM (`\w+`(?: AS `\w+`)?)")


def execute_with_index_hint(db: peewee.Database, query: peewee.Query, index: str = "PRIMARY") -> Any:
    """Execute a SELECT or DELETE of one table inside the caller's transaction; returns the cursor."""
    sql, values = db.get_sql_context().sql(query).query()
    if is_mysql(db):
        sql = _FROM.sub(lambda found: _with_hint(found, index), sql, count=1)
    return db.execute_sql(sql, values)


def _with_hint(found: re.Match[str], index: str) -> str:
    """The FROM clause with a hint; a DELETE accepts a hint only in the form that names its table twice."""
    delete, table = found.groups()
    return f"{f'DELETE {table} ' if delete else ''}FROM {table} FORCE INDEX (`{index}`)"
