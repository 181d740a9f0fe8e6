"""The due jobs of queues: those with a higher priority first, then those that have been due for longer.

The index ``job_ready`` begins with queue and priority. Each priority of each queue is one step: a range of the index,
in its order, so that neither finished jobs nor those that are not due yet are read.
"""

import json
from collections.abc import Sequence
from typing import Any

import peewee

from .. import orm
from ..core.work import WantedJobs
from .database import Database

PRIORITIES = range(9, -1, -1)
"""In the order of the steps."""
_DUE = f"due <= {{at}} AND {orm.WAITING_STATES.sql} AND (expires IS NULL OR expires > {{at}})"
_LATER = "due > {at}"


class ReadyJobs:
    """Finds due jobs, inside the caller's transaction or read; each database has a subclass."""

    _named = "%({})s"

    def take(self, db: peewee.Database, wanted: WantedJobs, columns: str, at: int) -> list[Sequence[Any]]:
        """Lock due jobs and return their columns; passes over those that another transaction has locked."""
        raise NotImplementedError

    def any(self, db: peewee.Database, queues: Sequence[str], at: int) -> bool:
        """Whether one of the queues has a due job."""
        raise NotImplementedError

    def next_due(self, db: peewee.Database, queues: Sequence[str], at: int) -> int | None:
        """The first time after ``at`` at which a job of the queues is due."""
        raise NotImplementedError

    def _sql(self, template: str, where: str, **parts: Any) -> str:
        """The statement: its values get the placeholders of the driver."""
        names = ("at", "queues", "priorities", "limit", "queue", "priority")
        marks = {name: self._named.format(name) for name in names}
        return template.format(where=where.format(**marks), **(marks | parts))


class _SqliteJobs(ReadyJobs):
    _named = ":{}"
    # CROSS JOIN keeps the order of the loops. Source: https://www.sqlite.org/optoverview.html
    _steps = (
        "WITH level(priority) AS (VALUES (9), (8), (7), (6), (5), (4), (3), (2), (1), (0)) "
        "SELECT {columns} FROM level CROSS JOIN json_each({queues}) AS queue"
    )
    _jobs = "job INDEXED BY job_ready"
    _step = "target_queue = queue.value AND target_priority = level.priority AND {where}"
    _find = f"{_steps} CROSS JOIN {_jobs} WHERE {_step} LIMIT {{limit}}"
    _first = f"(SELECT due FROM {_jobs} WHERE {_step} ORDER BY due LIMIT 1)"  # noqa: S608 - of constants

    def take(self, db: peewee.Database, wanted: WantedJobs, columns: str, at: int) -> list[Sequence[Any]]:
        sql = self._sql(self._find, _DUE, columns=columns)
        values = {"queues": json.dumps(wanted.queues), "at": at, "limit": wanted.limit}
        found: list[Sequence[Any]] = db.execute_sql(sql, values).fetchall()
        return found

    def any(self, db: peewee.Database, queues: Sequence[str], at: int) -> bool:
        return bool(self.take(db, WantedJobs(queues, 1), "1", at))

    def next_due(self, db: peewee.Database, queues: Sequence[str], at: int) -> int | None:
        sql = self._sql(self._steps, "", columns=f"MIN({self._sql(self._first, _LATER)})")
        found: int | None = db.execute_sql(sql, {"queues": json.dumps(queues), "at": at}).fetchone()[0]
        return found


class _PostgresqlJobs(ReadyJobs):
    # PostgreSQL has no index hints. Only job_ready has the order by due and created: for the order by due alone it
    # would sometimes read all of job_due.
    # A lateral subquery is executed when the outer LIMIT needs its rows, and so locks only rows that are taken.
    _find = (
        "SELECT found.* FROM unnest({queues}::text[], {priorities}::int[]) AS step(queue, priority), LATERAL ("
        "SELECT {columns} FROM job "
        "WHERE target_queue = step.queue AND target_priority = step.priority AND {where} "
        "ORDER BY due, created LIMIT {limit} {lock}) AS found"
    )

    def take(
        self, db: peewee.Database, wanted: WantedJobs, columns: str, at: int, lock: str = "FOR UPDATE SKIP LOCKED"
    ) -> list[Sequence[Any]]:
        sql = self._sql(f"{self._find} LIMIT {{limit}}", _DUE, columns=columns, lock=lock)
        values = {**self._steps(wanted.queues), "at": at, "limit": wanted.limit}
        found: list[Sequence[Any]] = db.execute_sql(sql, values).fetchall()
        return found

    def any(self, db: peewee.Database, queues: Sequence[str], at: int) -> bool:
        return bool(self.take(db, WantedJobs(queues, 1), "1", at, lock=""))

    def next_due(self, db: peewee.Database, queues: Sequence[str], at: int) -> int | None:
        first = self._sql(self._find, _LATER, columns="due", lock="")
        values = {**self._steps(queues), "at": at, "limit": 1}
        sql = f"SELECT MIN(due) FROM ({first}) AS later"  # noqa: S608 - of constants
        found: int | None = db.execute_sql(sql, values).fetchone()[0]
        return found

    @staticmethod
    def _steps(queues: Sequence[str]) -> dict[str, Any]:
        steps = [(queue, priority) for priority in PRIORITIES for queue in queues]
        return {"queues": [queue for queue, _ in steps], "priorities": [priority for _, priority in steps]}


class _MysqlJobs(ReadyJobs):
    """MySQL reads a range of an index only for constants: each step is a statement, or a part of a UNION."""

    _find = (
        "SELECT {columns} FROM job FORCE INDEX (job_ready) "
        "WHERE target_queue = {queue} AND target_priority = {priority} AND {where} ORDER BY due LIMIT {limit} {lock}"
    )

    def take(self, db: peewee.Database, wanted: WantedJobs, columns: str, at: int) -> list[Sequence[Any]]:
        sql = self._sql(self._find, _DUE, columns=columns, lock="FOR UPDATE SKIP LOCKED")
        found: list[Sequence[Any]] = []
        for queue, priority in self._due_steps(db, wanted.queues, at):
            step = {"queue": queue, "priority": priority, "limit": wanted.limit - len(found), "at": at}
            found += db.execute_sql(sql, step).fetchall()
            if len(found) >= wanted.limit:
                break
        return found

    def any(self, db: peewee.Database, queues: Sequence[str], at: int) -> bool:
        return bool(self._due_steps(db, queues, at))

    def next_due(self, db: peewee.Database, queues: Sequence[str], at: int) -> int | None:
        rows = self._of_steps(db, "due", queues, _LATER, at)
        return min((due for (due,) in rows), default=None)

    def _due_steps(self, db: peewee.Database, queues: Sequence[str], at: int) -> list[tuple[str, int]]:
        """The steps with due jobs, in order."""
        rows = self._of_steps(db, "target_queue, target_priority", queues, _DUE, at)
        order = {queue: place for place, queue in enumerate(queues)}
        return sorted(((queue, priority) for queue, priority in rows), key=lambda one: (-one[1], order[one[0]]))

    def _of_steps(
        self, db: peewee.Database, columns: str, queues: Sequence[str], where: str, at: int
    ) -> Sequence[Sequence[Any]]:
        """The columns of the first row of each step."""
        names = {f"queue{place}": queue for place, queue in enumerate(queues)}
        parts = [
            self._sql(self._find, where, columns=columns, queue=f"%({name})s", priority=priority, limit=1, lock="")
            for priority in PRIORITIES
            for name in names
        ]
        sql = " UNION ALL ".join(f"({part})" for part in parts)
        rows: Sequence[Sequence[Any]] = db.execute_sql(sql, {"at": at, **names}).fetchall()
        return rows


def ready_jobs(database: Database) -> ReadyJobs:
    """The finder for a database."""
    return _SqliteJobs() if database.sqlite else _MysqlJobs() if database.mysql else _PostgresqlJobs()
