"""``token``: creates, lists and revokes the bearer tokens of the HTTP API."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ...config.load import load_settings
from ...core.job import iso, now
from ...service.tokens import Tokens
from ...store.tokens import Token, TokenStore
from ..database_options import config_option, configured_database
from ..exit_codes import CommandRefused
from ..output import print_json, print_table
from ..parameter_types import Lifetime


@click.group()
@config_option
@click.pass_context
def token(ctx: click.Context, config: Path | None) -> None:
    """Create, list and revoke the bearer tokens of the HTTP API."""
    ctx.obj = config


@token.command()
@click.option("--name", required=True, help="The name of its owner; the caller of its jobs is token:NAME.")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="read, dispatch, cancel, admin, or dispatch:lab.*"
)
@click.option("--own", is_flag=True, help="Restrict it to the jobs that it dispatched itself.")
@click.option("--expires", type=Lifetime(), help="Its lifetime, such as 30d; by default it has no end.")
@click.pass_obj
def create(config: Path | None, name: str, scopes: tuple[str, ...], own: bool, expires: float | None) -> None:  # noqa: FBT001
    """Create a token, and print it alone on standard output; it cannot be shown again."""
    with _tokens(config) as tokens:
        try:
            text, created = tokens.create(name, scopes, own=own, lifetime=expires)
        except ValueError as error:
            raise CommandRefused(f"No token was created: {error}.") from error
    click.echo(f"Token {created.id}; send it in the header Authorization: Bearer …", err=True)
    click.echo(text)


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array for programs.")
@click.pass_obj
def show(config: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """List the tokens, oldest first, without their secrets."""
    with _tokens(config) as tokens:
        found = tokens.all()
    if as_json:
        print_json([_document(each) for each in found])
    elif found:
        print_table(("ID", "NAME", "SCOPES", "JOBS", "CREATED", "EXPIRES"), map(_row, found))
    else:
        click.echo("There are no tokens.", err=True)


def _document(one: Token) -> dict[str, Any]:
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
    """Revoke the token with this id, or all tokens with this name.

    Servers reject them within three seconds.
    """
    with _tokens(config) as tokens:
        count = tokens.revoke(which)
    if not count:
        raise CommandRefused(f"There is no token with the id or name {which}.")
    click.echo(f"Revoked {count}.")


@contextmanager
def _tokens(config: Path | None) -> Iterator[Tokens]:
    with configured_database(load_settings(config)) as database:
        database.wait_until_up(1, 0)  # It also creates the tables in an empty database.
        yield Tokens(TokenStore(database))
