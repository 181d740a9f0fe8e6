"""A caller's visibility as SQL; ``permissions.Visibility.covers`` is the same rule in Python, and a test compares them.

A glob has no counterpart in SQL that means the same on each database. So the names of the tasks that have a
job are matched in Python, and a query is given the names.
"""

from collections.abc import Sequence

import peewee

from .. import orm
from ..core.permissions import Visibility
from ..dialect import is_mysql

_J = orm.Job
_STEPS = """
WITH RECURSIVE found(task) AS (
  SELECT min(task) FROM job
  UNION ALL
  SELECT (SELECT min(job.task) FROM job WHERE job.task > found.task) FROM found WHERE found.task IS NOT NULL
)
SELECT task FROM found WHERE task IS NOT NULL
"""
"""From one name to the next by the index: neither SQLite nor PostgreSQL does so for a plain DISTINCT."""
_DISTINCT = "SELECT DISTINCT task FROM job"
"""MySQL and MariaDB do, and limit a recursion to 1000 steps."""


def task_names(db: peewee.Database, visibility: Visibility) -> list[str]:
    """The visible tasks that have a job; it costs an index lookup for each task, not for each job."""
    cursor = db.execute_sql(_DISTINCT if is_mysql(db) else _STEPS)
    return [name for (name,) in cursor.fetchall() if visibility.matches(name)]


def within(query: peewee.Query, visibility: Visibility, names: Sequence[str]) -> peewee.Query:
    """Limit the query, which selects from the job table, to the visible jobs.

    ``names`` are those of ``task_names``: a task whose first job is stored after they were read is not among
    them, so whoever follows a growing table reads them after it has fixed how far it looks.
    """
    if visibility.caller is not None:
        query = query.where(*dispatched_by(visibility.caller))
    return query if visibility.every_task else query.where(_J.task.in_(names))


def dispatched_by(caller: str) -> Sequence[peewee.Node]:
    """The conditions for the jobs of a caller, such that the partial index serves unless the caller is nobody."""
    return (_J.caller == caller, *([orm.HAS_CALLER] if caller else []))
