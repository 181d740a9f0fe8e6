"""``cancel``: revoke or stop jobs."""

import click

from ..exit_codes import Faults
from ..http_options import HttpContext, http_command, uuids_argument


@click.command()
@uuids_argument
@http_command
def cancel(context: HttpContext, uuids: tuple[str, ...]) -> None:
    """Cancel jobs that are waiting or running.

    A waiting job is revoked at once; a running job is stopped by its worker.

    Exit code 2 if a job has already ended or a UUID is unknown; the other jobs are still cancelled.
    """
    faults = Faults()
    for job in context.each_job(uuids, lambda uuid: context.client.job(uuid).cancel(), faults):
        note = "" if job.final else " (its worker is asked to stop it)"
        context.show(job.document, f"{job.uuid} {job.state}{note}")
    faults.end()
