"""``dbsync``: migrates the database to a version of the schema."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from ...migrations.schema import Step
from ..database_options import config_option, schema_database


@click.command()
@config_option
@click.option("--to", type=click.IntRange(min=0), metavar="NUMBER", help="The version; by default the newest.")
@click.option("--dry-run", is_flag=True, help="Print the steps without running them.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation, not even before a step down.")
def dbsync(config: Path | None, to: int | None, dry_run: bool, yes: bool) -> None:  # noqa: FBT001
    """Migrate the database to the schema of this release.

    With --to, migrate to the schema of another release. Stop web servers and workers first, and make a backup.
    SQLite and PostgreSQL run all steps or none; on MySQL and MariaDB the next dbsync repeats a step that was
    interrupted. Running dbsync twice at the same time is safe.

    A step down drops everything that the step up created, and the data in it.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the database cannot be reached.
    """
    with schema_database(config, make=not dry_run) as database:
        schema = database.schema()
        if to is not None and to > schema.expected:
            raise click.UsageError(f"--to {to}: this release knows no version above {schema.expected}.")
        steps = database.steps(to)
        if not steps:
            click.echo(f"The schema is at version {schema.found}; there is nothing to do.")
        elif dry_run:
            for step in steps:
                click.echo(_line(step))
        else:
            _confirm(steps, yes=yes)
            with _migration_messages():
                database.sync(to, lambda step, seconds: click.echo(f"{_line(step)}  {seconds:.2f} s"))
            click.echo(f"The schema is at version {database.schema().found}.")


@contextmanager
def _migration_messages() -> Iterator[None]:
    """Show the log of the migrations on standard error."""
    logger = logging.getLogger("pacifica.dispatcher.migrations")
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    before, logger.level = logger.level, logging.INFO
    try:
        yield
    finally:
        logger.level = before
        logger.removeHandler(handler)


def _line(step: Step) -> str:
    return f"{'up' if step.up else 'down':4}  {step.name}"


def _confirm(steps: Sequence[Step], *, yes: bool) -> None:
    down = [step.name for step in steps if not step.up]
    if down and not yes:
        click.echo(
            f"Everything that {', '.join(down)} created is dropped, with all its data. Is there a backup?", err=True
        )
        click.confirm("Continue?", abort=True, err=True)
