"""``dispatch``, ``status``, ``result``, ``wait``, ``cancel``, ``retry``: one job, or a few, over HTTP."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypedDict, Unpack

import click

from ...client import JobStatus, RemoteJob, State, TimedOut
from ...client import Refused as RefusedByServer
from ...client.errors import NoResult
from ...client.retries import Deadline
from .. import dispatch_arguments, output
from ..exit_codes import Exit
from ..http_options import Pair, Seconds, Talk, talking
from ..option_values import NAMES, Pairs, options_of
from ..screen import print_json, print_table
from ..several import Faults

uuids = click.argument("uuids", metavar="UUID…", nargs=-1, required=True)
one_uuid = click.argument("uuid", metavar="UUID")


class Given(TypedDict):
    """What the options of ``dispatch`` say."""

    kwargs: Pairs
    options: Pairs
    labels: Pairs
    key: str | None
    wait: float | None


class TakesNumbers(click.Command):
    """A command whose arguments may be negative numbers, which are no options; a double hyphen still begins one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse an option that there is not, as click would without ``ignore_unknown_options``."""
        known = {name for parameter in self.get_params(ctx) for name in (*parameter.opts, *parameter.secondary_opts)}
        before = args[: args.index("--")] if "--" in args else args
        for word in before:
            name = word.partition("=")[0]
            if name.startswith("--") and name not in known:
                raise click.NoSuchOption(name, ctx=ctx)
        return super().parse_args(ctx, args)


@click.command(cls=TakesNumbers, context_settings={"ignore_unknown_options": True})
@click.argument("task")
@click.argument("args", nargs=-1)
@click.option("-k", "--kwarg", "kwargs", type=Pair(), multiple=True, help="An argument by its name.")
@click.option("-o", "--option", "options", type=Pair(), multiple=True, help=f"One of {NAMES}.")
@click.option(
    "-l",
    "--label",
    "labels",
    type=Pair(),
    multiple=True,
    help="A label to search by; several may be given, also beside -o labels=JSON, which wins.",
)
@click.option("--key", help="Dispatch it once under this Idempotency-Key: the same job however often it is said.")
@click.option(
    "--wait",
    type=Seconds(),
    is_flag=False,
    flag_value=math.inf,
    help="Wait for the result, at most so long, or without SECONDS as long as it takes, and print it in place of the "
    "UUID (with --json the job, also when the time is over).",
)
@talking
def dispatch(talk: Talk, task: str, args: tuple[str, ...], **given: Unpack[Given]) -> None:
    """Dispatch a job of TASK, and print its UUID.

    ARGS are read as in a URL: as the task's annotations ask for, and without any 2 is a whole number, 1.5 a
    decimal, and the rest text. Where an argument begins with two hyphens, put -- before the first one.

    \b
    Examples:
      pacifica-dispatcher-cmd dispatch add 2 2
      pacifica-dispatcher-cmd dispatch add 2 -2 --wait
      pacifica-dispatcher-cmd dispatch lab.convert S-17 -k scale=2 -o priority=9 -l run=17
      UUID=$(pacifica-dispatcher-cmd dispatch add 2 2) && pacifica-dispatcher-cmd wait $UUID
    """
    schema = _arguments_of(talk, task)
    job = talk.client.dispatch_call(
        task,
        dispatch_arguments.positional(schema, args),
        dispatch_arguments.named(schema, dict(given["kwargs"])),
        options=options_of(given["options"], given["labels"]),
        idempotency_key=given["key"],
    )
    if given["wait"] is not None:
        _print_outcome(talk, job, given["wait"])
    elif talk.as_json and job.seen is not None:
        print_json(job.seen.document)
    else:
        click.echo(job.uuid)


@click.command()
@uuids
@talking
def status(talk: Talk, uuids: tuple[str, ...]) -> None:
    """Show jobs as they stand: one in full, several as a table.

    Exit code 2 when there is none of a UUID; the others are shown all the same.

    \b
    Example:
      pacifica-dispatcher-cmd status 01a20a87-952e-7637-b259-b34fb625e63a
    """
    faults = Faults()
    jobs = list(faults.each(uuids, lambda uuid: talk.client.job(uuid).status()))
    if talk.as_json:
        for job in jobs:
            print_json(job.document)
    elif len(uuids) == 1:
        for job in jobs:
            print_table((), output.details(job))
    elif jobs:
        print_table(output.COLUMNS, map(output.row, jobs))
    faults.end()


@click.command()
@one_uuid
@click.option(
    "--wait",
    type=Seconds(),
    is_flag=False,
    flag_value=math.inf,
    help="Wait for it, at most so long, or without SECONDS as long as it takes.",
)
@talking
def result(talk: Talk, uuid: str, wait: float | None) -> None:
    """Print the result of a job, and nothing else.

    Text is printed as it is, anything else as JSON.

    Exit code 1 when the job has failed or was revoked, 4 when there is no result yet.

    \b
    Examples:
      pacifica-dispatcher-cmd result $UUID
      pacifica-dispatcher-cmd result $UUID --wait 10m > result.json
    """
    told = talk.client.job(uuid).result(wait or 0.0)
    if talk.as_json:
        print_json(told)
    else:
        click.echo(output.bare(told))


@click.command()
@uuids
@click.option("--timeout", type=Seconds(), help="Wait at most so long, for all of them together.")
@talking
def wait(talk: Talk, uuids: tuple[str, ...], timeout: float | None) -> None:
    """Wait until jobs have ended, and print how each did.

    Those that have ended are told at once, then each of the others when it ends. With --json, one that goes on when
    the time is over is printed as it stands.

    Exit code 2 when there is none of a UUID, else 4 when the time is over (the jobs go on then), else 1 when one did
    not succeed.

    \b
    Examples:
      pacifica-dispatcher-cmd wait $UUID --timeout 10m
      pacifica-dispatcher-cmd search --label run=17 --json | jq -r .uuid | xargs pacifica-dispatcher-cmd wait
    """
    faults, failed = Faults(), []
    for job in _as_they_end(talk, faults, uuids, Deadline(timeout)):
        if talk.as_json:
            print_json(job.document)
        elif job.final:
            click.echo(f"{job.uuid} {job.state}")
        if not job.final:
            faults.tell(Exit.TIMED_OUT, f"Job {job.uuid} ({job.task}) is still {job.state} after {timeout:g} s.")
        elif job.state is not State.SUCCESS:
            failed.append(job)
    if failed:
        several = f"{len(failed)} of {len(set(uuids))} jobs did not succeed."
        faults.tell(Exit.FAILED, several if len(failed) > 1 else str(NoResult.of(failed[0])))
    faults.end()


@click.command()
@uuids
@talking
def cancel(talk: Talk, uuids: tuple[str, ...]) -> None:
    """Cancel jobs that wait or run.

    Those that wait are revoked at once; those that run are stopped by their worker.

    Exit code 2 when one has ended already, or there is none; the others are cancelled all the same.
    """
    faults = Faults()
    for job in faults.each(uuids, lambda uuid: talk.client.job(uuid).cancel()):
        if talk.as_json:
            print_json(job.document)
        else:
            asked = "" if job.final else " (its worker is asked to stop it)"
            click.echo(f"{job.uuid} {job.state}{asked}")
    faults.end()


@click.command()
@one_uuid
@click.option("--key", help="Retry it once under this Idempotency-Key, however often it is said.")
@talking
def retry(talk: Talk, uuid: str, key: str | None) -> None:
    """Dispatch a job again, with the same task and arguments.

    It is a new job, whose UUID is printed.
    """
    job = talk.client.job(uuid).retry(idempotency_key=key)
    if talk.as_json and job.seen is not None:
        print_json(job.seen.document)
    else:
        click.echo(job.uuid)


def _arguments_of(talk: Talk, task: str) -> Mapping[str, Any]:
    """The schema of the task's arguments; nothing is known of them by who may dispatch and not read."""
    try:
        return talk.client.task(task).arguments
    except RefusedByServer as error:
        if error.status != 403:
            raise
        return {}


def _print_outcome(talk: Talk, job: RemoteJob, seconds: float) -> None:
    """The result, or for a program the whole job, whatever became of it."""
    try:
        seen = job.wait(seconds)
    except KeyboardInterrupt:
        click.echo(f"\nJob {job.uuid} goes on.", nl=False, err=True)
        raise
    except TimedOut as error:
        known = error.job or job.seen
        if talk.as_json and known is not None:
            print_json(known.document)
        raise
    if talk.as_json:
        print_json(seen.document)
    told = RemoteJob(job.connection, job.uuid, seen).result()
    if not talk.as_json:
        click.echo(output.bare(told))


def _as_they_end(talk: Talk, faults: Faults, uuids: Iterable[str], deadline: Deadline) -> Iterator[JobStatus]:
    """Each job once it has ended, or as it stands when the time is over; first those that have ended already."""
    going_on = []
    for job in faults.each(uuids, lambda uuid: talk.client.job(uuid).status()):
        if job.final:
            yield job
        else:
            going_on.append(job.uuid)
    yield from faults.each(going_on, lambda uuid: _waited(talk.client.job(uuid), deadline))


def _waited(job: RemoteJob, deadline: Deadline) -> JobStatus:
    try:
        return job.wait(_left(deadline))
    except TimedOut as error:
        if error.job is None:
            raise
        return error.job


def _left(deadline: Deadline) -> float | None:
    return None if deadline.seconds is None else round(deadline.left(deadline.seconds), 3)
