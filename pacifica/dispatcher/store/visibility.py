"""A caller's visibility as SQL; ``permissions.Visibility.covers`` is the same rule in Python, and a test compares them.

SQL has no pattern that means the same as a glob on every database. Therefore the names of all tasks that have a job
are matched in Python, and the query gets the matching names.
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
"""A loose index scan, from one name to the next: SQLite and PostgreSQL do not use one for a plain DISTINCT."""
_DISTINCT = "SELECT DISTINCT task FROM job"
"""MySQL and MariaDB do use one, and limit a recursion to 1000 steps."""


def task_names(db: peewee.Database, visibility: Visibility) -> list[str]:
    """The visible tasks that have a job; it costs an index lookup for each task, not for each job."""
    cursor = db.execute_sql(_DISTINCT if is_mysql(db) else _STEPS)
    return [name for (name,) in cursor.fetchall() if visibility.matches(name)]


def within(query: peewee.Query, visibility: Visibility, names: Sequence[str]) -> peewee.Query:
    """Limit the query, which selects from the job table, to the visible jobs.

    ``names`` are those of ``task_names``. They lack a task whose first job is stored later, so a caller that follows a
    growing table must first fix the last row that it reads, and then read the names.
    """
    if visibility.caller is not None:
        query = query.where(*dispatched_by(visibility.caller))
    return query if visibility.every_task else query.where(_J.task.in_(names))


def dispatched_by(caller: str) -> Sequence[peewee.Node]:
    """The conditions for the jobs of a caller; those of a named caller are in the partial index."""
    return (_J.caller == caller, *([orm.HAS_CALLER] if caller else []))
