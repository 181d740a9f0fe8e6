"""What all commands share that talk to a service: its address, a token, and how each way to fail ends them."""

import functools
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import click

from ..client import ClientError, DispatcherClient, NoResult, NotReachable, Retry
from ..client import TimedOut as TookTooLong
from ..client.retries import USUAL
from .exit_codes import Failed, Refused, TimedOut, Unreachable

Command = Callable[..., None]
SHORTLY = USUAL.new(total=3)
"""A person at a terminal wants to know at once that nobody is there."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Talk:
    """The service, and whether a program reads what the command prints."""

    client: DispatcherClient
    as_json: bool


def talking(command: Command, *, retries: Retry = SHORTLY) -> Command:
    """Give a command the options that all of them have, and as its first argument what they come to."""

    @click.option(
        "--url",
        envvar="DISPATCHER_URL",
        default="http://127.0.0.1:8050",
        show_default=True,
        show_envvar=True,
        help="Where the service answers.",
    )
    @click.option(
        "--token", envvar="DISPATCHER_TOKEN", show_envvar=True, metavar="TOKEN", help="The bearer token to send."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON for programs, one value a line.")
    @functools.wraps(command)
    def run(*, url: str, token: str | None, as_json: bool, **given: Any) -> None:
        try:
            with DispatcherClient(url, token=token, retries=retries) as client:
                command(Talk(client, as_json), **given)
        except ClientError as error:
            raise ending_of(error) from error

    return run


def talking_patiently(command: Command) -> Command:
    """The same for a command that takes long, and so goes on after a restart of the service."""
    return talking(command, retries=USUAL)


def ending_of(error: ClientError) -> click.ClickException:
    """How a command ends that meets this error."""
    kinds: dict[type[ClientError], type[click.ClickException]] = {
        NotReachable: Unreachable,
        TookTooLong: TimedOut,
        NoResult: Failed,
    }
    kind = next((ending for kind, ending in kinds.items() if isinstance(error, kind)), Refused)
    return kind(str(error))


class Pair(click.ParamType):  # type: ignore[type-arg]
    """``NAME=VALUE``, as the two texts."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """The name and the value, which may hold further equals signs."""
        name, sign, text = str(value).partition("=")
        if not name or not sign:
            self.fail(f"{value!r} is not NAME=VALUE.", param, ctx)
        return name, text


class Seconds(click.ParamType):  # type: ignore[type-arg]
    """Seconds, or ``90s``, ``30m``, ``12h``, ``7d``."""

    name = "SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        if isinstance(value, float):
            return value
        seconds = _seconds(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not a number of seconds, nor one such as 30m, 12h or 7d.", param, ctx)
        return seconds


class Moment(click.ParamType):  # type: ignore[type-arg]
    """A time with an offset, a day, or how long ago; as a search takes it."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | float:
        """Seconds before now, or the time as ISO 8601 with an offset."""
        text = str(value)
        seconds = _seconds(text)
        found = _iso(text) if seconds is None else seconds
        if found is None:
            self.fail(
                f"{text!r} is no time: it may be one with an offset, such as 2026-11-24T09:30:00Z, a day, such as "
                "2026-11-24 (its midnight in UTC), or how long ago, such as 30m, 12h, 7d or a number of seconds.",
                param,
                ctx,
            )
        return found


def _iso(text: str) -> str | None:
    """The time, or midnight in UTC of the day; ``None`` when it is neither."""
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time(tzinfo=UTC)).isoformat()
    with suppress(ValueError):
        return text if datetime.fromisoformat(text).tzinfo else None
    return None


def _seconds(text: str) -> float | None:
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd]?)", text, re.ASCII)
    return None if found is None else float(found[1]) * UNITS[found[2] or "s"]
