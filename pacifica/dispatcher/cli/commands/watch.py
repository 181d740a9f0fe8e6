"""``watch``: jobs as they change, in a live table, or line by line where there is no terminal."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.live import Live

from ...client import ClientError, JobStatus, State
from .. import output
from ..exit_codes import Failed
from ..http_options import Talk, talking_patiently
from ..screen import Screen, print_json, table_of
from .search import filtering, filters_of

GATHER = 0.2
"""Seconds in which events are gathered, so that many of them are one look."""
RELOOK = 5.0
"""Seconds after which it looks without being told."""
POLL = 1.0
"""The same while there is no stream of events."""
Look = Callable[[], Sequence[JobStatus]]


@click.command()
@click.argument("uuids", metavar="[UUID]…", nargs=-1)
@filtering
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many at most.")
@talking_patiently
def watch(talk: Talk, uuids: tuple[str, ...], limit: int, **given: Any) -> None:
    """Watch jobs as they change, in a live table.

    With UUIDs it ends when all of these have ended; without, it shows the newest that fit what the options say,
    until Ctrl-C.

    Where standard output is no terminal, each change is a line. With UUIDs, the exit code is 1 when a job did not
    succeed and 130 on Ctrl-C; without, Ctrl-C is how it ends, and the exit code is 0.

    \b
    Examples:
      pacifica-dispatcher-cmd watch
      pacifica-dispatcher-cmd watch --task lab.convert --state started
      pacifica-dispatcher-cmd watch $UUID
    """
    filters = filters_of(**given)
    if uuids:
        if any(filters.values()):
            raise click.UsageError("Jobs are watched by their UUIDs, or by what they have in common; not by both.")
        jobs = _until_final(talk, list(dict.fromkeys(uuids)))
        if failed := [job for job in jobs if job.state is not State.SUCCESS]:
            raise Failed(f"{len(failed)} of {len(jobs)} jobs did not succeed.")
        return
    try:
        for _ in _looks(talk, lambda: [job.seen for job in talk.client.search(limit=limit, **filters) if job.seen]):
            pass
    except KeyboardInterrupt:
        click.echo(err=True)


def _until_final(talk: Talk, uuids: Sequence[str]) -> Sequence[JobStatus]:
    """The jobs once all have ended."""
    ended: dict[str, JobStatus] = {}

    def look() -> list[JobStatus]:
        jobs = [ended.get(uuid) or talk.client.job(uuid).status() for uuid in uuids]
        ended.update({uuid: job for uuid, job in zip(uuids, jobs, strict=True) if job.final})
        return jobs

    return next(jobs for jobs in _looks(talk, look) if all(job.final for job in jobs))


def _looks(talk: Talk, look: Look) -> Iterator[Sequence[JobStatus]]:
    """What each look finds, once it is shown; without an end."""
    told = Told(talk)
    told.start()
    with _shown(talk) as show:
        while True:
            told.happened.clear()
            jobs = look()
            show(jobs)
            yield jobs
            told.happened.wait(RELOOK if told.is_alive() else POLL)
            time.sleep(GATHER)


class Told(threading.Thread):
    """Reads the stream of events, and says when to look; when it has ended, nobody does."""

    def __init__(self, talk: Talk) -> None:
        super().__init__(name="events", daemon=True)
        self.happened = threading.Event()
        self._talk = talk

    def run(self) -> None:
        """Read until the service lets it no more; polling is as good, only slower."""
        try:
            for _ in self._talk.client.events():
                self.happened.set()
        except ClientError:
            self.happened.set()


@contextmanager
def _shown(talk: Talk) -> Iterator[Callable[[Sequence[JobStatus]], None]]:
    """Shows jobs: as a table that stays in its place, or what has changed as lines."""
    screen = Screen()
    if screen.is_terminal and not talk.as_json:
        with Live(console=screen, auto_refresh=False) as live:
            yield lambda jobs: live.update(table_of(output.COLUMNS, map(output.row, jobs)), refresh=True)
        return
    seen: dict[str, int] = {}

    def changes(jobs: Sequence[JobStatus]) -> None:
        for job in reversed(jobs):
            mark = hash((job.state, job.attempt, str(job.progress)))
            if seen.get(job.uuid) != mark:
                seen[job.uuid] = mark
                _line(talk, job)

    yield changes


def _line(talk: Talk, job: JobStatus) -> None:
    if talk.as_json:
        print_json(job.document)
    else:
        click.echo(f"{job.uuid}  {job.task}  {job.state}  {output.shortened(output.outcome(job))}".rstrip())
