"""The types of parameters that the commands share."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Any

import click

from ..core import strict_json

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Pair(click.ParamType):  # type: ignore[type-arg]
    """``NAME=VALUE``, as two texts."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """The name and the value; the value may contain further equals signs."""
        name, sign, text = str(value).partition("=")
        if not name or not sign:
            self.fail(f"{value!r} is not NAME=VALUE.", param, ctx)
        return name, text


class Seconds(click.ParamType):  # type: ignore[type-arg]
    """A number of seconds, or ``90s``, ``30m``, ``12h``, ``7d``."""

    name = "SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        seconds = _seconds(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not a number of seconds, nor a duration such as 30m, 12h or 7d.", param, ctx)
        return seconds


class Lifetime(click.ParamType):  # type: ignore[type-arg]
    """``90s``, ``30m``, ``12h`` or ``30d``, as seconds; the unit is required."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", str(value))
        if match is None:
            self.fail(f"{value!r} is not a duration; one looks like 90s, 30m, 12h or 30d.", param, ctx)
        return float(int(match[1]) * UNITS[match[2]])


class Moment(click.ParamType):  # type: ignore[type-arg]
    """A time with an offset, a day, or a time ago, as a search takes it."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | float:
        """Seconds before now, or the time as ISO 8601 with an offset."""
        text = str(value)
        seconds = _seconds(text)
        moment = _iso(text) if seconds is None else seconds
        if moment is None:
            self.fail(
                f"{text!r} is not a time. Use a time with an offset, such as 2026-11-24T09:30:00Z, a day, such as "
                "2026-11-24 (its midnight in UTC), or a time ago, such as 30m, 12h, 7d or a number of seconds.",
                param,
                ctx,
            )
        return moment


class JsonArray(click.ParamType):  # type: ignore[type-arg]
    """A JSON array."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        try:
            array = strict_json.loads(value, exact=True)
        except ValueError as error:
            self.fail(f"{value!r} is not a JSON array: {error}.", param, ctx)
        if not isinstance(array, list):
            self.fail(f"{value!r} is not a JSON array.", param, ctx)
        return array


def _iso(text: str) -> str | None:
    """The time, or the day's midnight in UTC; ``None`` for any other text."""
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time(tzinfo=UTC)).isoformat()
    with suppress(ValueError):
        return text if datetime.fromisoformat(text).tzinfo else None
    return None


def _seconds(text: str) -> float | None:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd]?)", text, re.ASCII)
    return None if match is None else float(match[1]) * UNITS[match[2] or "s"]
