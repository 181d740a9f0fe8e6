"""The schema version of a database, the version that this service needs, and the steps between them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import peewee
from playhouse.migrations import Runner

from ..core.errors import DatabaseUnavailable, MigrationFailed, SchemaTooNew, SchemaTooOld, SchemaUnknown
from ..dialect import is_mysql, is_sqlite
from .historical import TABLE as HISTORICAL

FOLDER = Path(__file__).parent
"""The folder of the migrations. The number of the last file is the schema version; it is written nowhere else."""
HISTORY = "schema_migration"
"""The table in which PeeWee records the applied migrations."""
LOCK = 0x70616369
"""The number of the PostgreSQL advisory lock that is held while the schema changes."""
LOCK_TIMEOUT = 60
"""Seconds to wait on MySQL for another process that is changing the schema."""
FAULTS = (peewee.ProgrammingError, peewee.IntegrityError, peewee.DataError, peewee.NotSupportedError, ValueError)
"""Errors of a migration that would occur again if it were repeated."""


class Step(NamedTuple):
    """One migration to apply (``up``) or to revert."""

    name: str
    up: bool


@dataclass(frozen=True)
class Schema:
    """The schema version of a database (0: no migration is recorded), and the version that this service needs.

    ``pending`` are the migrations to apply. ``unknown`` are applied migrations that this version does not have,
    although it has later ones or others of the same number. ``untouched``: the database is empty, or holds only
    the remains of an interrupted creation, so that the service may create the tables without asking.
    """

    found: int
    expected: int
    pending: Sequence[str]
    unknown: Sequence[str]
    untouched: bool

    @property
    def too_new(self) -> bool:
        """Whether a newer version of this service has changed the schema."""
        return self.found > self.expected

    @property
    def current(self) -> bool:
        """Whether the schema is exactly the one that this service needs."""
        return not (self.pending or self.unknown or self.too_new)

    def check(self) -> None:
        """Raise ``SchemaUnknown``, ``SchemaTooNew`` or ``SchemaTooOld`` unless the schema is current."""
        if self.unknown:
            raise SchemaUnknown(self.unknown[0])
        if self.too_new:
            raise SchemaTooNew(self.found, self.expected)
        if self.pending:
            raise SchemaTooOld(self.found, self.expected)


def read(db: peewee.Database) -> Schema:
    """Read the schema of a database; costs two small reads when it is current."""
    rows = _runner(db).status()
    applied = [row.idx for row in rows if row.applied]
    expected = max(row.idx for row in rows if row.path)
    return Schema(
        found=max(applied, default=0),
        expected=expected,
        pending=[row.name for row in rows if not row.applied],
        unknown=[row.name for row in rows if not row.path and row.idx <= expected],
        untouched=not applied and _is_untouched(db),
    )


def create(db: peewee.Database) -> None:
    """Create the tables of an untouched database; raises ``SchemaMismatch`` if they are those of another version."""
    schema = read(db)
    if schema.pending:
        with exclusive(db):
            schema = read(db)  # Again, as another process may have been creating them.
            if schema.untouched:
                walk(db, steps(db))
                return
    schema.check()


def steps(db: peewee.Database, target: int | None = None) -> list[Step]:
    """The steps to the version ``target`` (default: the newest).

    Raises ``SchemaTooNew`` or ``SchemaUnknown`` when this version does not have a migration that was applied.
    """
    rows = _runner(db).status()
    newest = max(row.idx for row in rows if row.path)
    target = newest if target is None else target
    if unknown := [row.name for row in rows if not row.path and row.idx <= newest]:
        raise SchemaUnknown(unknown[0])
    down = [row for row in reversed(rows) if row.applied and row.idx > target]
    if any(row.path is None for row in down):
        raise SchemaTooNew(down[0].idx, newest)
    up = [row for row in rows if not row.applied and row.idx <= target]
    return [Step(row.name, up=False) for row in down] + [Step(row.name, up=True) for row in up]


def walk(db: peewee.Database, path: Sequence[Step], on_step: Callable[[Step, float], None] = lambda *_: None) -> None:
    """Take the steps, inside ``exclusive``; calls ``on_step`` with each and its seconds. Raises ``MigrationFailed``."""
    runner = _runner(db)
    for step in path:
        begin = time.monotonic()
        try:
            (runner.up if step.up else runner.down)(step.name)
        except FAULTS as error:
            raise MigrationFailed(step.name, str(error), kept=is_mysql(db)) from error
        on_step(step, time.monotonic() - begin)


@contextmanager
def exclusive(db: peewee.Database) -> Iterator[None]:
    """Exclude other processes that change the schema; one transaction, except on MySQL, which has none for DDL."""
    if is_mysql(db):
        with _named_lock(db):
            yield
    else:
        with db.atomic():  # On SQLite an immediate transaction is a lock by itself.
            if not is_sqlite(db):
                db.execute_sql("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            yield


@contextmanager
def _named_lock(db: peewee.Database) -> Iterator[None]:
    """Hold a lock of MySQL; a lock's name is valid for the whole server, and has at most 64 characters."""
    name = "MD5(CONCAT('pacifica-dispatcher-schema ', DATABASE()))"
    if db.execute_sql(f"SELECT GET_LOCK({name}, {LOCK_TIMEOUT})").fetchone() != (1,):
        raise DatabaseUnavailable("Another process is changing the schema. Try again when it has finished.")
    try:
        yield
    finally:
        with suppress(peewee.PeeweeException):
            db.execute_sql(f"SELECT RELEASE_LOCK({name})")


def _runner(db: peewee.Database) -> Runner:
    return Runner(db, str(FOLDER), HISTORY)


def _is_untouched(db: peewee.Database) -> bool:
    """Whether no table was made before migrations were recorded: the history is the first table that is created."""
    present = set(db.get_tables())
    return HISTORICAL not in present and (HISTORY in present or "job" not in present)
