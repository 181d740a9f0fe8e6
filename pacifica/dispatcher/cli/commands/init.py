"""``init``: a folder with a configuration and a module of tasks, to start from."""

import shlex
import shutil
import sys
from pathlib import Path

import click

from ..exit_codes import CommandFailed, CommandRefused

PROGRAM = "pacifica-dispatcher-cmd"

CONFIG = """\
# Only the settings that differ from their defaults. This lists all of them, with their values:
#     pacifica-dispatcher-cmd config show

[dispatcher]
# The modules with your tasks, separated by commas: lab.py in this folder.
tasks = lab

[celery]
# The record is also the broker, so no other server is needed. Python programs that call .delay() use the same.
broker_url = database://

[database]
# An SQLite file in this folder, which keeps all jobs and their results.
peewee_url = sqliteext:///db.sqlite3
"""

TASKS = '''\
"""The tasks: each function with @task can be dispatched, by its module and its name (lab.convert)."""

import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pacifica.dispatcher import progress, task


@task
def convert(sample: str, scale: float = 1.0) -> dict[str, float]:
    """Convert one sample; wrong arguments are refused before a job exists."""
    return {sample: 2.5 * scale}


@task(time_limit=60)
def scan(sample: str, steps: Annotated[int, Field(ge=1, le=100)] = 10) -> float:
    """Measure a sample in steps, and show the progress; a scan that hangs is ended after a minute."""
    total = 0.0
    for step in range(1, steps + 1):
        time.sleep(0.1)  # In place of an instrument.
        total += step
        progress(step, steps, sample)
    return total / steps


@task(autoretry_for=(OSError,), retry_backoff=2, max_retries=3)
def count_lines(path: str) -> int:
    """Count the lines of a file; while it cannot be read, try again after 2, 4 and 8 seconds at most."""
    return len(Path(path).read_text(encoding="utf-8").splitlines())
'''

FILES = {"config.ini": CONFIG, "lab.py": TASKS}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Make a folder with a configuration and first tasks.

    It writes config.ini and lab.py into FOLDER, overwrites no file, and prints the next commands. The folder is best
    outside of a checkout; from the first start on, it also holds the record of the jobs.
    """
    present = [name for name in FILES if (folder / name).exists()]
    if present:
        raise CommandRefused(f"{folder} already has {' and '.join(present)}. Name another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise CommandFailed(f"{error.filename or folder} cannot be written: {error.strerror}.") from error
    click.echo(_next_commands(folder))


def _next_commands(folder: Path) -> str:
    return f"""\
{folder} has config.ini and lab.py, with three tasks. Start server and worker there; --reload notices your changes:

  cd {shlex.quote(str(folder))}
  {_program()} up --reload

Open http://127.0.0.1:8050/ in a browser, or dispatch a job in another terminal and read its result:

  UUID=$(curl -s http://127.0.0.1:8050/dispatch/lab.convert/S-17/2)
  curl -s "http://127.0.0.1:8050/result/$UUID?wait=10"

Then change lab.py. docs/tasks.md explains how to write tasks."""


def _program() -> str:
    """The name of this program for a shell; its path if the shell would find none or another one."""
    own = Path(sys.executable).parent / PROGRAM
    found = shutil.which(PROGRAM)
    return PROGRAM if (found and Path(found) == own) or not own.exists() else shlex.quote(str(own))
