"""The first lines of ``up``: what it has started, from which configuration, and what to try."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ..config.settings import Settings
from ..core.redaction import mask_passwords
from ..store.connections.connect import sqlite_file

BUILT_IN = frozenset({"add", "fail", "mul", "sleep"})
"""The names of the tasks in ``worker.builtin_tasks``, without importing Celery."""
MAX_NAMES = 12
"""How many tasks are named."""


@dataclass(frozen=True)
class Started:
    """The parts that ``up`` has started; ``seconds`` is the time of its probe job, ``configured`` the broker of other
    processes in words, if it differs. ``seconds`` is ``None`` if the worker is busy with jobs of before.
    """

    url: str
    file: Path | None
    settings: Settings
    broker: str
    configured: str | None
    tasks: Iterable[str]
    seconds: float | None


def show_welcome(console: Console, started: Started) -> None:
    """Print the welcome on the console."""
    facts = "".join(f"  {name:<14} {text}\n" for name, text in _facts(started))
    console.print(
        Text.assemble(
            ("Pacifica Dispatcher is ready", "bold green"),
            f" at {started.url}\n",
            facts,
            f"{_probe_result(started.seconds)}\n\n{_where_to_try(started)}:\n\n",
            (f"  UUID=$(curl -s {started.url}/dispatch/add/2/2)\n", "bold"),
            (f'  curl "{started.url}/status/$UUID?wait=10"\n\n', "bold"),
            ("Warnings and the end of each job follow; -v shows more. Ctrl-C stops the server and the worker.", "dim"),
        ),
        soft_wrap=True,
    )


def _where_to_try(started: Started) -> str:
    terminal = "in another terminal"
    if started.settings.dashboard.mode == "off":
        return f"Try it {terminal}"
    return f"Open {started.url}/ in a browser, or try it {terminal}"


def _facts(started: Started) -> Iterator[tuple[str, str]]:
    yield "configuration", str(started.file or "no file; the defaults and the environment apply")
    url = started.settings.database.peewee_url
    yield "record", str(sqlite_file(url) or mask_passwords(url))
    broker = "the record (database://)" if started.broker.startswith("database:") else mask_passwords(started.broker)
    if started.configured is None:
        yield "broker", broker
    else:
        yield "broker", f"{broker}, not {started.configured}"
        yield "for .delay()", f"export BROKER_URL={mask_passwords(started.broker)}"
    yield "tasks", _task_names(started.tasks)


def _task_names(names: Iterable[str]) -> str:
    own = sorted(set(names) - BUILT_IN)
    if not own:
        return (
            f"only the built-in ones ({', '.join(sorted(BUILT_IN))}). Name your module in [dispatcher] tasks, or make "
            "a first one: pacifica-dispatcher-cmd init FOLDER"
        )
    more = len(own) - MAX_NAMES
    return ", ".join(own[:MAX_NAMES]) + (f", and {more} more" if more > 0 else "") + "; and the built-in ones"


def _probe_result(seconds: float | None) -> str:
    if seconds is None:
        return "The worker is alive and busy: a probe job still waits behind the jobs that were there before."
    return f"A probe job went from HTTP through the worker to its result in {seconds * 1000:.0f} ms."
