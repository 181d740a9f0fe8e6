"""``config``: what the settings are and where each comes from, and what is wrong with them."""

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
from ..config_check import missing_parts
from ..database_options import config_option
from ..exit_codes import Refused
from ..screen import print_json, print_table


class Shown(NamedTuple):
    """One setting as people see it: as it would be written, without passwords."""

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
@click.option("--json", "as_json", is_flag=True, help="A JSON object, for programs.")
@click.option("--defaults", is_flag=True, help="Print a config.ini that sets everything to its default instead.")
def show(config: Path | None, as_json: bool, defaults: bool) -> None:  # noqa: FBT001
    """Show every setting: its value, and where that comes from.

    Passwords are masked. A Celery setting is shown when it is set. A configuration with faults is refused;
    the faults are then listed.

    \b
    A configuration to begin with:
        pacifica-dispatcher-cmd config show --defaults > config.ini
    """
    if defaults and not as_json:
        click.echo(example_ini(), nl=False)
        return
    sources = Sources(None, "", {}) if defaults else find_sources(config)
    sources.settings()
    shown = _shown(sources)
    if as_json:
        file = None if sources.path is None else str(sources.path)
        print_json({"file": file, "settings": [_described(each) for each in shown]})
        return
    click.echo(f"The configuration file is {sources.path or 'missing; everything has its default'}.", err=True)
    print_table(("SETTING", "VALUE", "FROM"), [(f"{one.section}.{one.key}", one.value, one.origin) for one in shown])


@config.command()
@config_option
@click.argument("file", required=False, type=click.Path(path_type=Path))
def check(config: Path | None, file: Path | None) -> None:
    """Check the configuration, and list all its faults at once.

    FILE is checked in place of the configuration that a server would read. Beside what a setting may be, it
    looks whether the task modules can be imported from this folder, and whether the broker's transport and the
    database's driver are installed. Nothing is connected to: that is what doctor does. The exit code is 0 when
    there is no fault, and 2 when there are some.
    """
    sources = find_sources(file or config)
    faults = [*_faults(sources), *missing_parts(sources.given())]
    name = sources.path or "The configuration, which has no file,"
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise Refused(f"{name} has {len(faults)} fault{'s' * (len(faults) > 1)}:\n{listed}")
    click.echo(f"{name} has no fault.")


def _faults(sources: Sources) -> Sequence[ConfigFault]:
    try:
        sources.settings()
    except ConfigError as error:
        return error.faults
    return ()


def _shown(sources: Sources) -> list[Shown]:
    """Every option, and behind those of its section what Celery's own settings are set to."""
    given = sources.given()
    ours = {Name(setting.section, setting.key): setting.default for setting in SETTINGS}
    sections = dict.fromkeys(name.section for name in ours)
    names = sorted({**ours, **given}, key=lambda name: list(sections).index(name.section))
    return [_one(name, sources, ours.get(name)) for name in names]


def _one(name: Name, sources: Sources, default: str | None) -> Shown:
    text, origin = sources.given().get(name, (default or "", "default"))
    origin = "file" if origin == str(sources.path) else origin
    return Shown(*name, mask_value(name.key, text), origin, default)


def _described(one: Shown) -> dict[str, str | None]:
    return {"section": one.section, "key": one.key, "value": one.value, "from": one.origin, "default": one.default}
