"""``dbchk``: compares the database with the schema of this release."""

from collections.abc import Sequence
from pathlib import Path

import click

from ...core import strict_json
from ...migrations.schema import Schema
from ...store.schema_diff import Difference, differences
from ..database_options import config_option, schema_database
from ..exit_codes import Exit


@click.command()
@config_option
@click.option("--equal", is_flag=True, help="Succeed only if the schema is exactly that of this release.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def dbchk(config: Path | None, equal: bool, as_json: bool) -> None:  # noqa: FBT001
    """Compare the database with the schema of this release.

    It changes nothing, and prints both versions, the pending steps, and the differences between the tables. It
    succeeds if this release can start on the database: the schema has the version that it needs, and no table or column
    is missing or has another type. With --equal, it succeeds if tables, columns and indexes are exactly the same.

    Exit codes: 0 yes, 1 no, 2 wrong usage, 3 the database cannot be reached.
    """
    with schema_database(config) as database:
        schema = database.schema()
        found = [] if schema.pending else database.read(differences)
    usable = schema.current and not any(one.breaks for one in found)
    same = schema.current and not found
    click.echo(_as_json(schema, found, usable=usable, same=same) if as_json else _as_text(schema, found, usable=usable))
    if not (same if equal else usable):
        raise click.exceptions.Exit(Exit.FAILED)


def _as_text(schema: Schema, found: Sequence[Difference], *, usable: bool) -> str:
    lines = [f"schema version  {schema.found}", f"needed          {schema.expected}"]
    lines += [f"pending         {name}" for name in schema.pending]
    lines += [f"difference      {one.table}: {one.message}" for one in found]
    return "\n".join([*lines, "", _verdict(schema, found, usable=usable)])


def _verdict(schema: Schema, found: Sequence[Difference], *, usable: bool) -> str:
    if schema.unknown:
        return "A development version made this schema: use an empty database, or install that version."
    if schema.untouched:
        return "The database is empty; the first server, worker or dbsync creates the tables."
    if schema.pending:
        return "The schema is too old: stop web servers and workers, and run pacifica-dispatcher-cmd dbsync."
    if schema.too_new:
        return "The schema is newer than this release, which does not start on it: install the newer release."
    if not usable:
        return "The schema cannot be used: tables or columns are missing or have another type."
    return "The schema can be used, but it has differences." if found else "It is exactly the schema of this release."


def _as_json(schema: Schema, found: Sequence[Difference], *, usable: bool, same: bool) -> str:
    report = {
        "found": schema.found,
        "expected": schema.expected,
        "pending": list(schema.pending),
        "usable": usable,
        "equal": same,
        "differences": [{"table": one.table, "message": one.message, "breaks": one.breaks} for one in found],
    }
    return strict_json.pretty(report).decode().rstrip()
