"""The options of ``search`` and ``watch`` that select jobs."""

from collections.abc import Callable
from typing import Any, cast

import click

from ..client import State
from ..client.values import Filters
from .parameter_types import Moment

STATES = click.Choice([state.value for state in State], case_sensitive=False)


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that select jobs."""
    for option in reversed(
        (
            click.option("--task", metavar="NAME", help="Jobs of this task."),
            click.option(
                "--state", type=STATES, multiple=True, help="Jobs in this state; repeatable, for jobs in any of them."
            ),
            click.option(
                "--label",
                metavar="NAME[=VALUE]",
                multiple=True,
                help="Jobs with this label; repeatable, for jobs with all of them.",
            ),
            click.option("--queue", metavar="NAME", help="Jobs that were dispatched to this queue."),
            click.option("--caller", metavar="NAME", help="Jobs that this caller dispatched."),
            click.option(
                "--error", metavar="TEXT", help="Failed jobs with this text in their error's type or message."
            ),
            click.option(
                "--since",
                type=Moment(),
                help="Jobs created at this time or later: ISO 8601 with an offset, a day (its midnight in UTC), or "
                "30m, 12h, 7d ago.",
            ),
            click.option("--until", type=Moment(), help="Jobs created before this time."),
        )
    ):
        command = option(command)
    return command


def filters_of(**given: Any) -> Filters:
    """The filters of the options."""
    labels = [label.replace("=", ":", 1) for label in given["label"]]
    return cast("Filters", {**given, "label": labels})
