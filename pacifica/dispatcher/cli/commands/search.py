"""``search``, and what it looks for, which ``watch`` can, too."""

from collections.abc import Callable
from typing import Any, cast

import click

from ...client import State
from ...client.values import Filters
from .. import output
from ..http_options import Moment, Talk, talking
from ..screen import print_json, print_table

STATES = click.Choice([state.value for state in State], case_sensitive=False)


def filtering(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which jobs, as the keyword ``filters``."""
    for option in reversed(
        (
            click.option("--task", metavar="NAME", help="Jobs of this task."),
            click.option("--state", type=STATES, multiple=True, help="In this state; several may be given."),
            click.option("--label", metavar="NAME[=VALUE]", multiple=True, help="With this label; all of several."),
            click.option("--queue", metavar="NAME", help="That asked for this queue."),
            click.option("--caller", metavar="NAME", help="That this caller dispatched."),
            click.option(
                "--since",
                type=Moment(),
                help="Made then or later: ISO 8601 with an offset, a day (its midnight in UTC), or 30m, 12h, 7d ago.",
            ),
            click.option("--until", type=Moment(), help="Made before then."),
        )
    ):
        command = option(command)
    return command


def filters_of(**given: Any) -> Filters:
    """The filters that the options say."""
    labels = [label.replace("=", ":", 1) for label in given["label"]]
    return cast("Filters", {**given, "label": labels})


@click.command()
@filtering
@click.option("-n", "--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@click.option("--all", "everything", is_flag=True, help="All of them, page by page, however many there are.")
@talking
def search(talk: Talk, limit: int, everything: bool, **given: Any) -> None:  # noqa: FBT001
    """List the jobs that fit, newest first.

    \b
    Examples:
      pacifica-dispatcher-cmd search --state failure --since 1d
      pacifica-dispatcher-cmd search --task lab.convert --label run=17 --all --json
    """
    found = talk.client.search(limit=None if everything else limit, **filters_of(**given))
    jobs = (job.seen for job in found if job.seen is not None)
    if talk.as_json:
        for job in jobs:
            print_json(job.document)
    else:
        print_table(output.COLUMNS, map(output.row, jobs))
