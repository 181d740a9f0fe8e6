"""``dbsync`` and ``dbchk``: the schema of the database, brought to a version and looked at."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ...config.load import load_settings
from ...core import strict_json
from ...core.errors import DatabaseUnavailable
from ...migrations.schema import Schema, Step
from ...store.database import Database
from ...store.schema_diff import Difference, differences
from ..database_options import config_option, configured_database
from ..exit_codes import Exit, Unreachable


@click.command()
@config_option
@click.option("--to", type=click.IntRange(min=0), metavar="NUMBER", help="The version; without it, the newest.")
@click.option("--dry-run", is_flag=True, help="Tell the steps, and make none.")
@click.option("--yes", is_flag=True, help="Ask nothing, also before a step down.")
def dbsync(config: Path | None, to: int | None, dry_run: bool, yes: bool) -> None:  # noqa: FBT001
    """Bring the schema of the database to that of this release.

    With --to, to that of another release. Stop web servers and workers first, and make a backup. SQLite and
    PostgreSQL make all steps or none; on MySQL and MariaDB a step that was interrupted is made again by the next
    dbsync. Two at once do no harm.

    A step down drops what the step up has made, with all that it holds.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the database is not reachable.
    """
    with _database(config, make=not dry_run) as database:
        schema = database.schema()
        if to is not None and to > schema.expected:
            raise click.UsageError(f"--to {to}: this release knows no version above {schema.expected}.")
        way = database.steps(to)
        if not way:
            click.echo(f"The schema is at version {schema.found}; there is nothing to do.")
        elif dry_run:
            for step in way:
                click.echo(_told(step))
        else:
            _confirm(way, yes=yes)
            with _messages_shown():
                database.sync(to, lambda step, seconds: click.echo(f"{_told(step)}  {seconds:.2f} s"))
            click.echo(f"The schema is at version {database.schema().found}.")


@click.command()
@config_option
@click.option("--equal", is_flag=True, help="Succeed only when it is exactly the schema of this release.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def dbchk(config: Path | None, equal: bool, as_json: bool) -> None:  # noqa: FBT001
    """Compare the schema of the database with that of this release.

    It changes nothing, and tells both versions, what is pending, and how the tables differ. It succeeds when this
    release would start on it: the version is the one that it needs, and no table or column is missing or of another
    type; with --equal, when tables, columns and indexes are exactly those.

    Exit codes: 0 yes, 1 no, 2 wrong usage, 3 the database is not reachable.
    """
    with _database(config) as database:
        schema = database.schema()
        found = [] if schema.pending else database.read(differences)
    usable = schema.current and not any(one.breaks for one in found)
    same = schema.current and not found
    click.echo(_as_json(schema, found, usable=usable, same=same) if as_json else _as_text(schema, found, usable=usable))
    if not (same if equal else usable):
        raise click.exceptions.Exit(Exit.FAILED)


@contextmanager
def _database(config: Path | None, *, make: bool = False) -> Iterator[Database]:
    """The database of the configuration, with all the time that it needs for an answer."""
    try:
        with configured_database(load_settings(config), answer_timeout=math.inf, make=make) as database:
            yield database
    except DatabaseUnavailable as error:
        raise Unreachable(f"{error}{_reason(error)}") from error


def _reason(error: DatabaseUnavailable) -> str:
    """What the database itself has said: whoever may change its schema may read it."""
    return f"\n{str(error.__cause__).strip()}" if error.__cause__ else ""


@contextmanager
def _messages_shown() -> Iterator[None]:
    """What migrations report of themselves goes to standard error."""
    logger = logging.getLogger("pacifica.dispatcher.migrations")
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    before, logger.level = logger.level, logging.INFO
    try:
        yield
    finally:
        logger.level = before
        logger.removeHandler(handler)


def _told(step: Step) -> str:
    return f"{'up' if step.up else 'down':4}  {step.name}"


def _confirm(way: list[Step], *, yes: bool) -> None:
    down = [step.name for step in way if not step.up]
    if down and not yes:
        click.echo(f"What {', '.join(down)} made is dropped, with all that it holds. Is there a backup?", err=True)
        click.confirm("Go on?", abort=True, err=True)


def _as_text(schema: Schema, found: list[Difference], *, usable: bool) -> str:
    lines = [f"schema version  {schema.found}", f"needed          {schema.expected}"]
    lines += [f"pending         {name}" for name in schema.pending]
    lines += [f"difference      {one.table}: {one.message}" for one in found]
    return "\n".join([*lines, "", _verdict(schema, found, usable=usable)])


def _verdict(schema: Schema, found: list[Difference], *, usable: bool) -> str:
    if schema.unknown:
        return "It is of a development version: use an empty database, or install the version that made this one."
    if schema.untouched:
        return "The database is empty; whatever starts first creates the tables, as dbsync does."
    if schema.pending:
        return "It is too old: stop web servers and workers, and run pacifica-dispatcher-cmd dbsync."
    if schema.too_new:
        return "It is newer than this release, which does not start on it: install the newer release."
    if not usable:
        return "It cannot be used: tables or columns are not as they should be."
    return "It can be used, and differs." if found else "It is exactly the schema of this release."


def _as_json(schema: Schema, found: list[Difference], *, usable: bool, same: bool) -> str:
    told: dict[str, Any] = {
        "found": schema.found,
        "expected": schema.expected,
        "pending": list(schema.pending),
        "usable": usable,
        "equal": same,
        "differences": [one._asdict() for one in found],
    }
    return strict_json.pretty(told).decode().rstrip()
