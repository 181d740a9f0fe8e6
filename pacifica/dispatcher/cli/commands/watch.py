"""``watch``: jobs in a live table; without a terminal, each change as a line."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import click
from rich.live import Live

from ...client import ClientError, DispatcherClient, JobStatus, State
from .. import output
from ..exit_codes import CommandFailed
from ..http_options import HttpContext, patient_http_command
from ..search_options import filter_options, filters_of

GATHER = 0.2
"""Seconds for which events are gathered, so that many of them cause one request."""
REFRESH = 5.0
"""Seconds between two requests while no event arrives."""
POLL = 1.0
"""Seconds between two requests without a stream of events."""
Jobs = Sequence[JobStatus]


@click.command()
@click.argument("uuids", metavar="[UUID]…", nargs=-1)
@filter_options
@click.option(
    "-n", "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="The largest number of jobs."
)
@patient_http_command
def watch(context: HttpContext, uuids: tuple[str, ...], limit: int, **given: Any) -> None:
    """Watch jobs change in a live table.

    With UUIDs, it ends when all these jobs have ended. Without, it shows the newest matching jobs until Ctrl-C.

    If standard output is not a terminal, each change is printed as a line. With UUIDs, the exit code is 1 if a job
    did not succeed, and 130 after Ctrl-C; without, Ctrl-C is the regular end, with exit code 0.

    \b
    Examples:
      pacifica-dispatcher-cmd watch
      pacifica-dispatcher-cmd watch --task lab.convert --state started
      pacifica-dispatcher-cmd watch $UUID
    """
    filters = filters_of(**given)
    if uuids:
        if any(filters.values()):
            raise click.UsageError("Give either UUIDs or options that select jobs, not both.")
        jobs = _until_final(context, list(dict.fromkeys(uuids)))
        if failed := [job for job in jobs if job.state is not State.SUCCESS]:
            raise CommandFailed(f"{len(failed)} of {len(jobs)} jobs did not succeed.")
        return
    try:
        search = partial(context.client.search, limit=limit, **filters)
        for _ in _refreshed(context, lambda: [job.seen for job in search() if job.seen]):
            pass
    except KeyboardInterrupt:
        click.echo(err=True)


def _until_final(context: HttpContext, uuids: Sequence[str]) -> Jobs:
    """The jobs once all have ended."""
    ended: dict[str, JobStatus] = {}

    def fetch() -> list[JobStatus]:
        jobs = [ended.get(uuid) or context.client.job(uuid).status() for uuid in uuids]
        ended.update({uuid: job for uuid, job in zip(uuids, jobs, strict=True) if job.final})
        return jobs

    return next(jobs for jobs in _refreshed(context, fetch) if all(job.final for job in jobs))


def _refreshed(context: HttpContext, fetch: Callable[[], Jobs]) -> Iterator[Jobs]:
    """Show the jobs again and again, and yield them each time; it does not end."""
    arrived = threading.Event()
    listener = threading.Thread(target=listen, args=(context.client, arrived), name="events", daemon=True)
    listener.start()
    with _display(context) as show:
        while True:
            arrived.clear()
            jobs = fetch()
            show(jobs)
            yield jobs
            arrived.wait(REFRESH if listener.is_alive() else POLL)
            time.sleep(GATHER)


def listen(client: DispatcherClient, arrived: threading.Event) -> None:
    """Set ``arrived`` for each event; return when the stream fails or is refused, after which ``watch`` polls."""
    with suppress(ClientError):
        for _ in client.events():
            arrived.set()
    arrived.set()


@contextmanager
def _display(context: HttpContext) -> Iterator[Callable[[Jobs], None]]:
    """The function that shows jobs: in a live table, or the changed ones as lines."""
    screen = output.Screen()
    if screen.is_terminal and not context.as_json:
        with Live(console=screen, auto_refresh=False) as live:
            yield lambda jobs: live.update(output.table_of(output.COLUMNS, map(output.row, jobs)), refresh=True)
        return
    seen: dict[str, int] = {}

    def print_changes(jobs: Jobs) -> None:
        for job in reversed(jobs):
            mark = hash((job.state, job.attempt, str(job.progress)))
            if seen.get(job.uuid) != mark:
                seen[job.uuid] = mark
                text = f"{job.uuid}  {job.task}  {job.state}  {output.shortened(output.outcome(job))}"
                context.show(job.document, text.rstrip())

    yield print_changes
