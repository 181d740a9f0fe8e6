"""A worker bench: a record, a broker, workers that a test may kill, and the words to say what became of its jobs.

Jobs are put straight into the record, as a web process that died at once would leave them: the workers'
own relay sends them. Where HTTP matters, a test starts a web server beside.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pacifica.dispatcher.core.job import Job, State, new_uuid, now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.workers import WorkerStore

from ..eventually import eventually
from ..processes import Processes, Running
from .invariants import Record, check_record

LAB = '''
"""Tasks whose every run leaves a line in a file, and that end when they are let go."""
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

from pacifica.dispatcher import task


def ran(name):
    with Path(f"{name}.runs").open("a") as runs:
        runs.write(f"{os.getpid()}\\n")


@task(name="note")
def note(name: str) -> str:
    ran(name)
    return name


@task(name="hold")
def hold(name: str) -> str:
    """Runs until its file is there."""
    ran(name)
    try:
        while not Path(f"{name}.go").exists():
            time.sleep(0.01)
        return name
    finally:
        ran(f"{name}-left")


@task(name="stubborn")
def stubborn(name: str) -> str:
    """Does not mind SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return hold.run(name)


@task(name="poison")
def poison(how: str) -> None:
    ran(how)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "os._exit":
        os._exit(1)
    elif how == "os._exit 0":
        os._exit(0)
    elif how == "sys.exit":
        sys.exit(1)
    elif how == "memory":
        raise MemoryError("all of it")
    elif how == "interrupt":
        raise KeyboardInterrupt


@task(name="soft", soft_time_limit=1)
def soft(name: str) -> str:
    ran(name)
    time.sleep(30)


@task(name="hard", time_limit=1)
def hard(name: str) -> str:
    ran(name)
    try:
        time.sleep(30)
    except BaseException:
        time.sleep(30)


@task(name="tidy", soft_time_limit=1)
def tidy(name: str) -> str:
    """Heeds its soft limit and ends well."""
    from celery.exceptions import SoftTimeLimitExceeded
    try:
        time.sleep(30)
    except SoftTimeLimitExceeded:
        return name


@task(name="backoff", bind=True, autoretry_for=(OSError,), retry_backoff=1, retry_jitter=False, max_retries=5)
def backoff(self, name: str, good_at: int) -> int:
    ran(name)
    if self.request.retries < good_at:
        raise OSError(f"not yet: {self.request.retries}")
    while not Path(f"{name}.go").exists():
        time.sleep(0.01)
    return self.request.retries


@task(name="insist", bind=True, max_retries=50)
def insist(self, name: str) -> None:
    """Asks to be run again once it is let go, every time."""
    ran(name)
    while not Path(f"{name}.go").exists():
        time.sleep(0.01)
    raise self.retry(countdown=0)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class MuteExit(BaseException):
    def __str__(self):
        raise RuntimeError("no words")


class Closed(Exception):
    """Its arguments cannot be pickled."""
    def __init__(self, text):
        super().__init__(text, lambda: None)


class TwoFold(Exception):
    """It can be pickled, and not be made again."""
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class Nested(Exception):
    def __init__(self):
        inside = []
        for _ in range(100_000):
            inside = [inside]
        super().__init__(inside)


@task(name="raises")
def raises(what: str) -> None:
    if what == "local":
        class Local(Exception):
            pass
        raise Local("of a function")
    raise {
        "mute": Mute, "mute exit": MuteExit, "closed": lambda: Closed("closed"),
        "twofold": lambda: TwoFold("one", "two"), "nested": Nested,
        "large": lambda: ValueError("x" * 30_000_000), "nul": lambda: ValueError("a\\0b\\ud800"),
        "group": lambda: ExceptionGroup("many", [OSError("one"), ValueError("two")]),
    }[what]()


class Odd:
    def __reduce__(self):
        raise RuntimeError("not to be pickled")

    def __repr__(self):
        raise RuntimeError("not to be shown")


class OddText(str):
    def __str__(self):
        raise RuntimeError("no words")


def deep():
    inside = []
    for _ in range(100_000):
        inside = [inside]
    return inside


@task(name="returns")
def returns(what: str):
    loop = []
    loop.append(loop)
    return {
        "odd": Odd(), "loop": loop, "deep": deep(), "generator": (n for n in "abc"), "lambda": lambda: 1,
        "bytes": b"\\xff\\xfe", "keys": {(1, 2): 3}, "inf": float("inf"), "exception": ValueError("returned"),
    }[what]


@task(name="nap")
def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task(name="echo")
def echo(value: str) -> str:
    return value


@task(name="measure")
def measure(value: str) -> int:
    return len(value)


@task(name="double")
def double(x: int) -> int:
    return 2 * x
'''


@dataclass
class Bench:
    """A working directory, its record at ``database_url``, and what was started there."""

    processes: Processes
    database_url: str

    @classmethod
    def set_up(
        cls,
        processes: Processes,
        database_url: str,
        broker_url: str = "database://",
        queue: str = "dispatcher",
        **own: Any,
    ) -> "Bench":
        """Write configuration and tasks, and create the tables; ``own`` are settings of ``[dispatcher]``.

        ``celery`` are settings of ``[celery]``.
        """
        celery = {"broker_url": broker_url, "task_default_queue": queue} | own.pop("celery", {})
        database = {"peewee_url": database_url} | {
            key: own.pop(key) for key in ("busy_timeout", "answer_timeout") if key in own
        }
        settings = {"tasks": "lab", "lease_seconds": 1, "relay_interval": 0.1, "republish_seconds": 2} | own
        processes.write_config(
            "[database]\n"
            + "".join(f"{key} = {value}\n" for key, value in database.items())
            + "[celery]\n"
            + "".join(f"{key} = {value}\n" for key, value in celery.items())
            + "[dispatcher]\n"
            + "".join(f"{key} = {value}\n" for key, value in settings.items())
        )
        (processes.cwd / "lab.py").write_text(LAB, encoding="utf-8")
        bench = cls(processes, database_url)
        bench.database.wait_until_up(1, 0)
        return bench

    @cached_property
    def database(self) -> Database:
        """The record, for the test's own looks."""
        return Database(self.database_url)

    @cached_property
    def jobs(self) -> JobStore:
        """The job rows."""
        return JobStore(self.database)

    @cached_property
    def workers(self) -> WorkerStore:
        """The leases."""
        return WorkerStore(self.database)

    def close(self) -> None:
        """Close the test's own connection."""
        self.database.close()

    def worker(self, *options: str, concurrency: int = 2, env: Mapping[str, str] | None = None) -> Running:
        """A worker that waits for jobs."""
        quiet = ("--without-gossip", "--without-mingle")
        return self.processes.start_worker(*quiet, *options, concurrency=concurrency, env=env)

    def add(self, task: str, *args: Any, **columns: Any) -> str:
        """Accept a job, which is due unless ``columns`` say otherwise; its UUID."""
        at = now()
        values: dict[str, Any] = {"due": at, "max_attempts": 3} | columns
        job = Job(new_uuid(), task, args, {}, State.PENDING, at, **values)
        self.jobs.add([job])
        return job.uuid

    def job(self, uuid: str) -> Job:
        """The job as it stands."""
        job = self.jobs.get(uuid)
        assert job is not None
        return job

    def history(self, uuid: str) -> list[str]:
        """The kinds of the job's events, oldest first."""
        return [event.kind for event in self.jobs.events(uuid)]

    def runs(self, name: str) -> list[int]:
        """The process of each run that a task has noted under this name."""
        try:
            return [int(line) for line in (self.processes.cwd / f"{name}.runs").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def let_go(self, name: str) -> None:
        """Let what is held under this name end, now and later."""
        (self.processes.cwd / f"{name}.go").touch()

    def until_run(self, name: str, times: int = 1) -> None:
        """Wait until a task has begun so often."""
        eventually(lambda: len(self.runs(name)) >= times, 20, f"{name} was not run {times} times")

    def until_held(self, worker: Running, name: str) -> None:
        """Wait until this worker runs a task, itself or in a child of its."""
        eventually(lambda: any(is_of(worker, pid) for pid in self.runs(name)), 20, f"{name} is not run there")

    def ended(self, uuid: str, timeout: float = 20) -> Job:
        """The job, once it is final."""
        return eventually(lambda: job if (job := self.job(uuid)).final else None, timeout, f"job {uuid} does not end")

    def once_final(self, uuids: Iterable[str]) -> Record:
        """The record of these jobs, each of which is final, became it once, and has not moved since.

        A web server that still runs is asked for the results, too.
        """
        serving = [process.url for process in self.processes.running if process.url and process.popen.poll() is None]
        return check_record(self.database_url, uuids, *serving[:1])


Make = Callable[..., Bench]
"""The fixture ``make_bench``: a bench on a broker and a database of a kind, with settings of ``[dispatcher]``."""


def is_of(worker: Running, pid: int) -> bool:
    """Whether the process is this worker or its child; a worker leads a process group of its own."""
    try:
        return os.getpgid(pid) == worker.popen.pid
    except ProcessLookupError:
        return False
