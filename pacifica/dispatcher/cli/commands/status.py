"""``status``: the status of one job or of several."""

import click

from .. import output
from ..exit_codes import Faults
from ..http_options import HttpContext, http_command, uuids_argument


@click.command()
@uuids_argument
@http_command
def status(context: HttpContext, uuids: tuple[str, ...]) -> None:
    """Show the status of jobs: one in full, several as a table.

    Exit code 2 if a UUID is unknown; the other jobs are still shown.

    \b
    Example:
      pacifica-dispatcher-cmd status 01a20a87-952e-7637-b259-b34fb625e63a
    """
    faults = Faults()
    jobs = list(context.each_job(uuids, lambda uuid: context.client.job(uuid).status(), faults))
    if context.as_json:
        for job in jobs:
            output.print_json(job.document)
    elif len(uuids) == 1:
        for job in jobs:
            output.print_table((), output.details(job))
    elif jobs:
        output.print_table(output.COLUMNS, map(output.row, jobs))
    faults.end()
