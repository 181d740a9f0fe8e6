"""``config``: shows the settings with their sources, and checks them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from ...config.ini import Name
from ...config.load import Sources, find_sources
from ...config.settings import SETTINGS, example_ini
from ...core.errors import ConfigError
from ...core.faults import ConfigFault
from ...core.redaction import mask_value
from ..config_check import missing_parts, unusable_tasks
from ..database_options import config_option
from ..exit_codes import CommandRefused
from ..output import print_json, print_table


class Row(NamedTuple):
    """A setting as text, without passwords."""

    section: str
    key: str
    value: str
    origin: str
    default: str | None


@click.group()
def config() -> None:
    """Show and check the configuration."""


@config.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for programs.")
@click.option("--defaults", is_flag=True, help="Print a config.ini that sets everything to its default.")
def show(config: Path | None, as_json: bool, defaults: bool) -> None:  # noqa: FBT001
    """Show the value and the source of every setting.

    Passwords are masked. A Celery setting is shown if it is set. If the configuration has faults, they are listed
    instead.

    \b
    To create a first configuration:
        pacifica-dispatcher-cmd config show --defaults > config.ini
    """
    if defaults and not as_json:
        click.echo(example_ini(), nl=False)
        return
    sources = Sources(None, "", {}) if defaults else find_sources(config)
    sources.settings()
    rows = _rows(sources)
    if as_json:
        file = None if sources.path is None else str(sources.path)
        print_json({"file": file, "settings": [_document(one) for one in rows]})
        return
    click.echo(f"The configuration file is {sources.path or 'missing; the defaults apply'}.", err=True)
    print_table(("SETTING", "VALUE", "FROM"), [(f"{one.section}.{one.key}", one.value, one.origin) for one in rows])


@config.command()
@config_option
@click.argument("file", required=False, type=click.Path(path_type=Path))
def check(config: Path | None, file: Path | None) -> None:
    """Check the configuration, and list all its faults at once.

    FILE is checked instead of the configuration that a server would read. Besides the values, it checks that the
    task modules can be imported from this directory, that every task can be dispatched, and that the broker's
    transport and the database's driver are installed. It connects to no server; doctor does. The exit code is 0
    without faults, and 2 with faults.
    """
    sources = find_sources(file or config)
    faults: list[object] = [*_faults(sources), *missing_parts(sources.given())]
    if not faults:
        found, warnings = unusable_tasks(sources.settings())
        faults += found
        for warning in warnings:
            click.echo(f"Warning: {warning}", err=True)
    name = sources.path or "The configuration (which has no file)"
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise CommandRefused(f"{name} has {len(faults)} fault{'s' * (len(faults) > 1)}:\n{listed}")
    click.echo(f"{name} has no fault.")


def _faults(sources: Sources) -> Sequence[ConfigFault]:
    try:
        sources.settings()
    except ConfigError as error:
        return error.faults
    return ()


def _rows(sources: Sources) -> list[Row]:
    """Every option of ours, followed in its section by the settings of Celery that are set."""
    given = sources.given()
    ours = {Name(setting.section, setting.key): setting.default for setting in SETTINGS}
    sections = dict.fromkeys(name.section for name in ours)
    names = sorted({**ours, **given}, key=lambda name: list(sections).index(name.section))
    return [_row(name, sources, ours.get(name)) for name in names]


def _row(name: Name, sources: Sources, default: str | None) -> Row:
    text, origin = sources.given().get(name, (default or "", "default"))
    origin = "file" if origin == str(sources.path) else origin
    return Row(*name, mask_value(name.key, text), origin, default)


def _document(one: Row) -> dict[str, str | None]:
    return {"section": one.section, "key": one.key, "value": one.value, "from": one.origin, "default": one.default}
