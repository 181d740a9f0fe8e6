"""Which schema a database has, which one this version needs, and the steps from one to the other."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import peewee
from playhouse.migrations import Runner

from ..core.errors import DatabaseUnavailable, MigrationFailed, SchemaTooNew, SchemaTooOld
from ..dialect import is_mysql, is_sqlite
from .historical import TABLE as HISTORICAL

FOLDER = Path(__file__).parent
"""Where the migrations are. The schema's version is the number of the last of them, and is written nowhere else."""
HISTORY = "schema_migration"
"""PeeWee's table of what has been applied."""
LOCK = 0x70616369
"""The PostgreSQL advisory lock under which the schema is changed."""
PATIENCE = 60
"""Seconds that MySQL waits for another process that changes the schema."""
FAULTS = (peewee.ProgrammingError, peewee.IntegrityError, peewee.DataError, peewee.NotSupportedError, ValueError)
"""What a statement of a migration raises that no later try would mend."""


class Step(NamedTuple):
    """One migration to walk, ``up`` or down."""

    name: str
    up: bool


@dataclass(frozen=True)
class Schema:
    """The version of a database's schema (0: none that it remembers), and the version that this service needs.

    ``pending`` are the migrations that it lacks. ``untouched``: it holds nothing, or only what an
    interrupted creation has left, so that the tables may be created without anybody being asked.
    """

    found: int
    expected: int
    pending: Sequence[str]
    untouched: bool

    @property
    def too_new(self) -> bool:
        """Whether a newer version of this service has changed it."""
        return self.found > self.expected

    @property
    def current(self) -> bool:
        """Whether it is exactly the one that this service needs."""
        return not self.pending and not self.too_new

    def check(self) -> None:
        """Raise ``SchemaTooNew`` or ``SchemaTooOld`` unless it is current."""
        if self.too_new:
            raise SchemaTooNew(self.found, self.expected)
        if self.pending:
            raise SchemaTooOld(self.found, self.expected)


def read(db: peewee.Database) -> Schema:
    """The schema of a database; costs two small reads when it is current."""
    rows = _runner(db).status()
    applied = [row.idx for row in rows if row.applied]
    return Schema(
        found=max(applied, default=0),
        expected=max(row.idx for row in rows if row.path),
        pending=[row.name for row in rows if not row.applied],
        untouched=not applied and _is_untouched(db),
    )


def create(db: peewee.Database) -> None:
    """Create the tables of an untouched database; raises ``SchemaTooOld`` or ``SchemaTooNew`` for another version's.

    It looks again when it has the schema for itself, as another process may be creating it.
    """
    if not (seen := read(db)).too_new and not seen.current:
        with alone(db):
            seen = read(db)
            if seen.untouched:
                walk(db, steps(db))
                return
    seen.check()


def steps(db: peewee.Database, target: int | None = None) -> list[Step]:
    """The steps to the version ``target`` (the newest); raises ``SchemaTooNew`` when a step is not of this version."""
    rows = _runner(db).status()
    newest = max(row.idx for row in rows if row.path)
    target = newest if target is None else target
    down = [row for row in reversed(rows) if row.applied and row.idx > target]
    if any(row.path is None for row in down):
        raise SchemaTooNew(down[0].idx, newest)
    up = [row for row in rows if not row.applied and row.idx <= target]
    return [Step(row.name, up=False) for row in down] + [Step(row.name, up=True) for row in up]


def walk(db: peewee.Database, way: Sequence[Step], tell: Callable[[Step, float], None] = lambda *_: None) -> None:
    """Walk the steps, and ``tell`` of each with its seconds; raises ``MigrationFailed``. Inside ``alone``."""
    runner = _runner(db)
    for step in way:
        begin = time.monotonic()
        try:
            (runner.up if step.up else runner.down)(step.name)
        except FAULTS as error:
            raise MigrationFailed(step.name, str(error), kept=is_mysql(db)) from error
        tell(step, time.monotonic() - begin)


@contextmanager
def alone(db: peewee.Database) -> Iterator[None]:
    """Have the schema for oneself, in one transaction where the database has any for that (MySQL has not)."""
    if is_mysql(db):
        with _named_lock(db):
            yield
    else:
        with db.atomic():  # On SQLite it is immediate, and a lock by itself.
            if not is_sqlite(db):
                db.execute_sql("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            yield


@contextmanager
def _named_lock(db: peewee.Database) -> Iterator[None]:
    """MySQL's lock for a connection; its names are the whole server's, and end at 64 characters."""
    name = "MD5(CONCAT('pacifica-dispatcher-schema ', DATABASE()))"
    if db.execute_sql(f"SELECT GET_LOCK({name}, {PATIENCE})").fetchone() != (1,):
        raise DatabaseUnavailable("Another process is changing the schema; try again when it has ended.")
    try:
        yield
    finally:
        with suppress(peewee.PeeweeException):
            db.execute_sql(f"SELECT RELEASE_LOCK({name})")


def _runner(db: peewee.Database) -> Runner:
    return Runner(db, str(FOLDER), HISTORY)


def _is_untouched(db: peewee.Database) -> bool:
    """The history's table is the first one that is made; without it, tables of ours are of a time before it."""
    there = set(db.get_tables())
    return HISTORICAL not in there and (HISTORY in there or "job" not in there)
