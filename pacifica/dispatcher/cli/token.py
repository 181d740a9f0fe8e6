"""``token``: make, list and revoke the bearer tokens of the HTTP API."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from ..app import DispatcherApp
from ..errors import ConfigError, DatabaseUnavailable, SchemaMismatch
from ..job import iso
from ..settings import load_settings
from ..tokens import Tokens

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Lifetime(click.ParamType):  # type: ignore[type-arg]
    """``90s``, ``30m``, ``12h`` or ``30d``, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is not a duration; one looks like 90s, 30m, 12h or 30d.", param, ctx)
        return float(int(found[1]) * UNITS[found[2]])


@click.group()
@click.option("-c", "--config", type=click.Path(path_type=Path), help="The INI file; the default is ./config.ini.")
@click.pass_context
def token(ctx: click.Context, config: Path | None) -> None:
    """Bearer tokens of the HTTP API."""
    ctx.obj = config


@token.command()
@click.option("--name", required=True, help="Whose it is; a job that it dispatches has the caller token:NAME.")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="read, dispatch, cancel, admin, or dispatch:lab.*"
)
@click.option("--own", is_flag=True, help="It sees and cancels only the jobs that it dispatched.")
@click.option("--expires", type=Lifetime(), help="How long it is good for, such as 30d; without it, until revoked.")
@click.pass_obj
def create(config: Path | None, name: str, scopes: tuple[str, ...], own: bool, expires: float | None) -> None:  # noqa: FBT001
    """Make a token, and show it this once: it stands alone on standard output."""
    with _tokens(config) as tokens:
        try:
            text, made = tokens.create(name, scopes, own=own, lifetime=expires)
        except ValueError as error:
            raise click.ClickException(f"No token was made: {error}.") from error
    click.echo(f"Token {made.id}; send it as the header Authorization: Bearer …", err=True)
    click.echo(text)


@token.command("list")
@click.pass_obj
def show(config: Path | None) -> None:
    """List the tokens, one a line; never the tokens themselves."""
    with _tokens(config) as tokens:
        for each in tokens.all():
            ends = f"expires {iso(each.expires)}" if each.expires is not None else "never expires"
            own = "own jobs" if each.own else "all jobs"
            click.echo(f"{each.id}  {each.name}  {','.join(map(str, each.grants))}  {own}  {ends}")


@token.command()
@click.argument("which", metavar="ID|NAME")
@click.pass_obj
def revoke(config: Path | None, which: str) -> None:
    """Revoke the token with that id, or all with that name; servers obey within three seconds."""
    with _tokens(config) as tokens:
        count = tokens.revoke(which)
    if not count:
        raise click.ClickException(f"There is no token with the id or name {which}.")
    click.echo(f"Revoked {count}.")


@contextmanager
def _tokens(config: Path | None) -> Iterator[Tokens]:
    try:
        app = DispatcherApp(lambda: load_settings(config))
        with closing(app.database):
            app.prepare(patient=False)
            yield app.tokens
    except (ConfigError, DatabaseUnavailable, SchemaMismatch) as error:
        raise click.ClickException(str(error)) from error
