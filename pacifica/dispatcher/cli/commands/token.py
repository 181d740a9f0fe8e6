"""``token``: make, list and revoke the bearer tokens of the HTTP API."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ...core.job import iso, now
from ...service.tokens import Tokens
from ...store.tokens import Token, TokenStore
from ..database_options import config_option, prepared_database
from ..exit_codes import Refused
from ..screen import print_json, print_table

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
@config_option
@click.pass_context
def token(ctx: click.Context, config: Path | None) -> None:
    """Make, list and revoke the bearer tokens of the HTTP API."""
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
            raise Refused(f"No token was made: {error}.") from error
    click.echo(f"Token {made.id}; send it as the header Authorization: Bearer …", err=True)
    click.echo(text)


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON array, for programs.")
@click.pass_obj
def show(config: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """List the tokens, oldest first; never the tokens themselves."""
    with _tokens(config) as tokens:
        known = tokens.all()
    if as_json:
        print_json([_described(each) for each in known])
    elif known:
        print_table(("ID", "NAME", "SCOPES", "JOBS", "CREATED", "EXPIRES"), map(_row, known))
    else:
        click.echo("There are no tokens.", err=True)


def _described(one: Token) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "scopes": [str(grant) for grant in one.grants],
        "own": one.own,
        "created": iso(one.created),
        "expires": iso(one.expires),
    }


def _row(one: Token) -> tuple[str, ...]:
    expired = ", expired" if one.expires is not None and one.expires <= now() else ""
    ends = f"{_second(one.expires) or 'never'}{expired}"
    scopes = " ".join(map(str, one.grants))
    return one.id, one.name, scopes, "its own" if one.own else "all", _second(one.created), ends


def _second(at: int | None) -> str:
    return f"{iso(at)}"[:19] + "Z" if at is not None else ""


@token.command()
@click.argument("which", metavar="ID|NAME")
@click.pass_obj
def revoke(config: Path | None, which: str) -> None:
    """Revoke the token with that id, or all with that name; servers obey within three seconds."""
    with _tokens(config) as tokens:
        count = tokens.revoke(which)
    if not count:
        raise Refused(f"There is no token with the id or name {which}.")
    click.echo(f"Revoked {count}.")


@contextmanager
def _tokens(config: Path | None) -> Iterator[Tokens]:
    with prepared_database(config) as database:
        yield Tokens(TokenStore(database))
