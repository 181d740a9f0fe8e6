"""Migrations up and down on each database, compared with the models."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.errors import MigrationFailed, SchemaTooNew, SchemaTooOld, SchemaUnknown
from pacifica.dispatcher.migrations import schema
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.schema_diff import differences

from ..services import DATABASES
from ..store.conftest import a_job, all_at_once
from .layouts import described, make_by_models

NEWEST = max(int(path.name[:4]) for path in schema.FOLDER.glob("[0-9]*.py"))
NEXT = f"{NEWEST + 1:04}_next"
PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def make_opened(make_database: Callable[[str], str]) -> Iterator[Callable[[str], Database]]:
    """A function that opens a fresh, empty database of a kind."""
    opened: list[Database] = []

    def make(kind: str) -> Database:
        opened.append(Database(make_database(kind)))
        return opened[-1]

    yield make
    for database in opened:
        database.close()


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, make_opened: Callable[[str], Database]) -> Database:
    """A fresh, empty database; the test runs once for each kind."""
    return make_opened(request.param)


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of an additional migration, as the next version of this service would bring it."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema.FOLDER, folder)
    monkeypatch.setattr(schema, "FOLDER", folder)
    path = folder / f"{NEXT}.py"
    shutil.copy(PROGRAMS / "next_version.py", path)
    return path


def run(database: Database, *statements: str) -> None:
    """Execute statements that the service does not know of."""
    for statement in statements:
        database.write(lambda db, sql=statement: db.execute_sql(sql))  # type: ignore[misc]


def test_the_migrated_tables_are_those_of_the_models(
    database: Database, make_opened: Callable[[str], Database], tmp_path: Path
) -> None:
    database.wait_until_up(1, 0.0)
    assert database.read(differences) == []
    migrated = described(database)
    database.sync(0)
    assert described(database) == {}
    make_by_models(database)
    assert described(database) == migrated


def test_migrations_down_and_up_end_with_the_same_tables(database: Database) -> None:
    found = {}
    for number in range(NEWEST + 1):
        database.sync(number)
        found[number] = described(database)
    for number in [*reversed(range(NEWEST)), *range(1, NEWEST + 1)]:
        database.sync(number)
        assert described(database) == found[number]
    assert database.schema().current


def test_a_database_without_migration_history_is_completed(database: Database) -> None:
    make_by_models(database)
    wanted = described(database)
    on = " ON job" if database.mysql else ""
    run(database, f"DROP INDEX job_sent{on}", f"DROP INDEX job_caller{on}", f"DROP INDEX job_created_uuid{on}")
    run(database, "ALTER TABLE job DROP COLUMN progress", "DROP TABLE token")
    if database.mysql:
        run(database, "ALTER TABLE label CONVERT TO CHARACTER SET latin1 COLLATE latin1_swedish_ci")
    if database.sqlite:
        run(database, "DROP TABLE event", "CREATE TABLE event (id INTEGER NOT NULL PRIMARY KEY, job VARCHAR(36) "
            "NOT NULL, at INTEGER NOT NULL, kind VARCHAR(32) NOT NULL, data TEXT)")  # fmt: skip
    for _ in range(2):
        database.write(orm.Event.insert(job="j", at=1, kind="PENDING").execute)
    with pytest.raises(SchemaTooOld, match="pacifica-dispatcher-cmd dbsync"):
        database.wait_until_up(3, 60)
    database.sync()
    assert database.read(differences) == []
    found = described(database)
    assert {table: lines for table, lines in found.items() if table != "job"} == {
        table: lines for table, lines in wanted.items() if table != "job"
    }
    assert {line for line in found["job"] if "INDEX" in line} == {line for line in wanted["job"] if "INDEX" in line}
    run(database, "DELETE FROM event WHERE id = 2")
    JobStore(database).add([job := a_job(args=["ü"])])
    assert JobStore(database).get(job.uuid) == job
    events = database.read(orm.Event.select(orm.Event.id).order_by(orm.Event.id).tuples().execute)
    assert list(events) == [(1,), (3,)], "no id is used twice"


def test_a_schema_is_too_old_before_an_upgrade_and_too_new_after_it(
    database: Database, next_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.sync(NEWEST)
    with pytest.raises(SchemaTooOld, match=rf"version {NEWEST}, .* needs version {NEWEST + 1}\."):
        database.wait_until_up(3, 60)
    taken: list[schema.Step] = []
    database.sync(on_step=lambda step, _: taken.append(step))
    assert taken == [schema.Step(NEXT, up=True)]
    database.wait_until_up(1, 0.0)
    assert "later" in described(database)
    monkeypatch.undo()
    for refused in (lambda: database.wait_until_up(3, 60), lambda: database.sync(0)):
        with pytest.raises(SchemaTooNew, match=rf"version {NEWEST + 1}, .* only version {NEWEST}\."):
            refused()
    assert "later" in described(database)


@pytest.mark.parametrize("newest", [1, 4])
def test_a_schema_of_a_development_version_is_refused_with_a_sentence(database: Database, newest: int) -> None:
    names = ("0001_first_layout", "0002_purge_and_election", "0003_search_by_queue", "0004_narrow_indexes")
    database.wait_until_up(1, 0.0)
    values = ", ".join(f"('{name}', '2026-01-01')" for name in names[:newest])
    run(database, "DELETE FROM schema_migration", f"INSERT INTO schema_migration (name, applied) VALUES {values}")
    before = described(database)
    assert database.schema().found == newest
    for refused in (
        lambda: database.wait_until_up(3, 60),
        lambda: database.schema().check(),
        database.sync,
        lambda: database.sync(0),
    ):
        with pytest.raises(SchemaUnknown, match=r"development version.*0001_first_layout.*Use an empty database"):
            refused()
    assert described(database) == before


def test_a_failed_migration_is_rolled_back_where_possible(database: Database, next_version: Path) -> None:
    shutil.copy(PROGRAMS / "failing_version.py", next_version)
    with pytest.raises(MigrationFailed, match=rf"Migration {NEXT} failed: .*(name|null)"):
        database.sync()
    kept = bool(database.mysql)
    assert ("job" in described(database), "later" in described(database)) == (kept, kept)
    shutil.copy(PROGRAMS / "next_version.py", next_version)
    database.sync()
    assert "later" in described(database)
    assert database.schema().current


def test_concurrent_syncs_take_each_step_once(database: Database, next_version: Path) -> None:
    database.sync(NEWEST)
    taken: list[schema.Step] = []
    all_at_once(database, [lambda: database.sync(on_step=lambda step, _: taken.append(step)) for _ in range(4)])
    assert taken == [schema.Step(NEXT, up=True)]


def test_processes_that_start_on_an_empty_database_share_its_creation(database: Database, next_version: Path) -> None:
    all_at_once(database, [lambda: database.wait_until_up(1, 0.0) for _ in range(4)])
    assert database.schema().current


def test_differences_from_the_models_are_listed(database: Database) -> None:
    database.wait_until_up(1, 0.0)
    on = " ON job" if database.mysql else ""
    run(database, f"DROP INDEX job_due{on}", "CREATE INDEX extra ON job (finished)")
    run(database, "ALTER TABLE job DROP COLUMN traceparent", "ALTER TABLE job ADD COLUMN more TEXT")
    run(
        database, "DROP TABLE label", "ALTER TABLE worker DROP COLUMN since", "ALTER TABLE worker ADD COLUMN since TEXT"
    )
    found = database.read(differences)
    assert [(one.table, one.message, one.breaks) for one in found] == [
        ("job", "column traceparent is missing", True),
        ("job", "column more is not of this version", False),
        ("job", "index job_due is missing", False),
        ("job", "index extra is not of this version", False),
        ("label", "the table is missing", True),
        ("worker", f"column since is text instead of {'integer' if database.sqlite else 'bigint'} NOT NULL", True),
    ]


def test_a_foreign_table_of_the_same_name_is_not_changed(database: Database) -> None:
    run(database, "CREATE TABLE job (number INTEGER NOT NULL PRIMARY KEY)")
    before = described(database)
    with pytest.raises(SchemaTooOld):
        database.wait_until_up(1, 0.0)
    with pytest.raises(MigrationFailed, match="uuid is not null but has no default"):
        database.sync()
    assert described(database) == before


def test_a_check_of_the_schema_costs_two_reads(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.wait_until_up(1, 0.0)
    executed: list[str] = []
    execute = database.peewee.execute_sql

    def record(sql: str, params: object = None) -> object:
        executed.append(sql)
        return execute(sql, params)

    monkeypatch.setattr(database.peewee, "execute_sql", record)
    database.wait_until_up(1, 0.0)
    assert len([sql for sql in executed if not sql.startswith("PRAGMA")]) == 2, executed
    assert not [sql for sql in executed if re.match("BEGIN|INSERT|CREATE|SELECT GET_LOCK", sql)]


def test_migrations_are_numbered_and_can_be_reverted() -> None:
    numbers = sorted(int(path.name[:4]) for path in schema.FOLDER.glob("[0-9]*.py"))
    assert numbers == list(range(1, NEWEST + 1))
    for path in schema.FOLDER.glob("[0-9]*.py"):
        assert "\ndef down(" in path.read_text(encoding="utf-8")
