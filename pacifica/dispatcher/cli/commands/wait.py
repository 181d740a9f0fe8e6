"""``wait``: block until jobs have ended."""

from collections.abc import Iterable, Iterator

import click

from ...client import JobStatus, NoResult, RemoteJob, State, TimedOut
from ...client.retries import Deadline
from ..exit_codes import Exit, Faults
from ..http_options import HttpContext, http_command, uuids_argument
from ..parameter_types import Seconds


@click.command()
@uuids_argument
@click.option("--timeout", type=Seconds(), help="The longest time to wait for all jobs together.")
@http_command
def wait(context: HttpContext, uuids: tuple[str, ...], timeout: float | None) -> None:
    """Wait until jobs have ended, and print the state of each.

    Jobs that have already ended are printed at once, the others when they end. With --json, jobs that have not ended
    at the timeout are printed as well.

    Exit code 2 if a UUID is unknown, else 4 after a timeout (the jobs go on), else 1 if a job did not succeed.

    \b
    Examples:
      pacifica-dispatcher-cmd wait $UUID --timeout 10m
      pacifica-dispatcher-cmd search --label run=17 --json | jq -r .uuid | xargs pacifica-dispatcher-cmd wait
    """
    faults, failed = Faults(), []
    for job in _as_they_end(context, faults, uuids, Deadline(timeout)):
        if job.final or context.as_json:
            context.show(job.document, f"{job.uuid} {job.state}")
        if not job.final:
            faults.show(Exit.TIMED_OUT, f"Job {job.uuid} ({job.task}) is still {job.state} after {timeout:g} s.")
        elif job.state is not State.SUCCESS:
            failed.append(job)
    if failed:
        summary = f"{len(failed)} of {len(set(uuids))} jobs did not succeed."
        faults.show(Exit.FAILED, summary if len(failed) > 1 else str(NoResult.of(failed[0])))
    faults.end()


def _as_they_end(context: HttpContext, faults: Faults, uuids: Iterable[str], deadline: Deadline) -> Iterator[JobStatus]:
    """Each job once it has ended, or at the deadline; first those that have ended already."""
    unfinished = []
    for job in context.each_job(uuids, lambda uuid: context.client.job(uuid).status(), faults):
        if job.final:
            yield job
        else:
            unfinished.append(job.uuid)
    yield from context.each_job(unfinished, lambda uuid: _ended(context.client.job(uuid), deadline), faults)


def _ended(job: RemoteJob, deadline: Deadline) -> JobStatus:
    try:
        return job.wait(None if deadline.seconds is None else round(deadline.left(deadline.seconds), 3))
    except TimedOut as error:
        if error.job is None:
            raise
        return error.job
