"""``purge``: deletes jobs that have ended, directly in the database."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...config.load import load_settings
from ...core.job import FINAL, State, now
from ...store.purge import Bounds
from ...upkeep.pruner import Pruner
from ..database_options import config_option, configured_database
from ..output import print_json
from ..parameter_types import Lifetime

ENDED = tuple(state.value for state in State if state in FINAL)
AGES = "[retention] success_seconds, failure_seconds or revoked_seconds"


@click.command()
@config_option
@click.option(
    "--older-than",
    type=Lifetime(),
    metavar="AGE",
    help="Purge jobs that ended at least this long ago, such as 30d or 12h.",
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(ENDED, case_sensitive=False),
    metavar="STATE",
    help=f"Only jobs that ended as {', '.join(ENDED[:-1])} or {ENDED[-1]}; repeatable.",
)
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="Only jobs of these tasks; repeatable.")
@click.option("--dry-run", is_flag=True, help="Print how many jobs would be purged, and purge none.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def purge(  # noqa: PLR0913 - each is an option
    config: Path | None,
    *,
    older_than: float | None,
    states: tuple[str, ...],
    tasks: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Delete jobs that have ended, with their labels and events.

    Without --older-than, the settings in [retention] decide, as in the service itself. Jobs are deleted in small
    batches with a pause after each, so that the service can keep working; Ctrl-C stops between two batches.
    For some time, the service answers 410 Gone for the UUID of a purged job.
    """
    settings = load_settings(config)
    with configured_database(settings) as database:
        pruner = Pruner(database, settings.retention)
        before = _bounds(pruner, older_than, [State(state) for state in states])
        database.schema().check()
        steps = pruner.count if dry_run else pruner.purge
        counts: Counter[State] = Counter(dict.fromkeys(before, 0))
        try:
            with _progress(lambda: pruner.count(before, tasks), dry_run=dry_run) as advance:
                for step in steps(before, tasks):
                    counts.update(step)
                    advance(step.total())
                    time.sleep(0 if dry_run else pruner.pause)
        finally:
            _print_counts(counts, dry_run=dry_run, as_json=as_json)


def _bounds(pruner: Pruner, older_than: float | None, states: Sequence[State]) -> Bounds:
    """The moment before which a job must have ended, for each state."""
    at = now()
    if older_than is not None:
        ended = at - int(older_than * 1_000_000)
        return dict.fromkeys(states or [State(state) for state in ENDED], ended)
    ages = pruner.bounds(at)
    if missing := [state for state in states if state not in ages]:
        raise click.UsageError(f"No age is set for jobs that ended as {missing[0]}. Give --older-than, or set {AGES}.")
    if not ages:
        raise click.UsageError(f"No age is set. Give --older-than, such as 30d, or set {AGES}.")
    return {state: ages[state] for state in states or ages}


@contextmanager
def _progress(count: Callable[[], Iterator[Counter[State]]], *, dry_run: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; it alone needs the total, so jobs are counted only for it."""
    console = Console(stderr=True)
    if dry_run or not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("Counting", total=None)
        progress.update(bar, total=sum(part.total() for part in count()), description="Purging")
        yield lambda number: progress.advance(bar, number)


def _print_counts(counts: Mapping[State, int], *, dry_run: bool, as_json: bool) -> None:
    total = sum(counts.values())
    if as_json:
        print_json({"dry_run": dry_run, "jobs": dict(counts), "total": total})
        return
    jobs = f"{total} job{'' if total == 1 else 's'}"
    click.echo(f"{jobs} would be purged" if dry_run else f"{jobs} purged", nl=False)
    click.echo(":" if total else ".")
    for state, number in counts.items():
        if number:
            click.echo(f"  {state:8}{number:>12}")
