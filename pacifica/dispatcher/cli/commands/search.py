"""``search``: the jobs that match the options."""

from typing import Any

import click

from .. import output
from ..http_options import HttpContext, http_command
from ..search_options import filter_options, filters_of


@click.command()
@filter_options
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=50, show_default=True, help="The largest number of jobs."
)
@click.option("--all", "everything", is_flag=True, help="List all matching jobs, however many there are.")
@http_command
def search(context: HttpContext, limit: int, everything: bool, **given: Any) -> None:  # noqa: FBT001
    """List the matching jobs, newest first.

    \b
    Examples:
      pacifica-dispatcher-cmd search --state failure --since 1d
      pacifica-dispatcher-cmd search --task lab.convert --label run=17 --all --json
    """
    found = context.client.search(limit=None if everything else limit, **filters_of(**given))
    jobs = (job.seen for job in found if job.seen is not None)
    if context.as_json:
        for job in jobs:
            output.print_json(job.document)
    else:
        output.print_table(output.COLUMNS, map(output.row, jobs))
