"""A worker cluster: a record, a broker, workers that a test may kill, and the words to say what became of its jobs.

Jobs are put straight into the record, as a web process that died at once would leave them: the workers'
own relay sends them. Where HTTP matters, a test starts a web server beside.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pacifica.dispatcher.core.job import Job, State, new_uuid, now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.workers import WorkerStore

from ..eventually import eventually
from ..processes import Processes, Running
from .invariants import Record, check_record

PROGRAMS = Path(__file__).parent / "programs"
TASKS = PROGRAMS / "fault_tasks.py"
"""The tasks of every cluster."""


@dataclass
class Cluster:
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
    ) -> "Cluster":
        """Write configuration and tasks, and create the tables; ``own`` are settings of ``[dispatcher]``.

        ``celery`` are settings of ``[celery]``.
        """
        celery = {"broker_url": broker_url, "task_default_queue": queue} | own.pop("celery", {})
        database = {"peewee_url": database_url} | {
            key: own.pop(key) for key in ("busy_timeout", "answer_timeout") if key in own
        }
        settings = {"tasks": TASKS.stem, "lease_seconds": 1, "relay_interval": 0.1, "republish_seconds": 2} | own
        processes.write_config(
            "[database]\n"
            + "".join(f"{key} = {value}\n" for key, value in database.items())
            + "[celery]\n"
            + "".join(f"{key} = {value}\n" for key, value in celery.items())
            + "[dispatcher]\n"
            + "".join(f"{key} = {value}\n" for key, value in settings.items())
        )
        processes.add_module(TASKS)
        cluster = cls(processes, database_url)
        cluster.database.wait_until_up(1, 0)
        return cluster

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

    def release(self, name: str) -> None:
        """Let what is held under this name end, now and later."""
        (self.processes.cwd / f"{name}.go").touch()

    def until_run(self, name: str, times: int = 1) -> None:
        """Wait until a task has begun so often."""
        eventually(lambda: len(self.runs(name)) >= times, 20, f"{name} was not run {times} times")

    def until_run_by(self, worker: Running, name: str) -> None:
        """Wait until this worker runs a task, itself or in a child of its."""
        eventually(lambda: any(belongs_to(worker, pid) for pid in self.runs(name)), 20, f"{name} is not run there")

    def ended(self, uuid: str, timeout: float = 20) -> Job:
        """The job, once it is final."""
        return eventually(lambda: job if (job := self.job(uuid)).final else None, timeout, f"job {uuid} does not end")

    def check_final(self, uuids: Iterable[str]) -> Record:
        """The record of these jobs, each of which is final, became it once, and has not moved since.

        A web server that still runs is asked for the results, too.
        """
        serving = [process.url for process in self.processes.running if process.url and process.popen.poll() is None]
        return check_record(self.database_url, uuids, *serving[:1])


MakeCluster = Callable[..., Cluster]
"""The fixture ``make_cluster``: a cluster on a broker and a database of a kind, with settings of ``[dispatcher]``."""


def belongs_to(worker: Running, pid: int) -> bool:
    """Whether the process is this worker or its child; a worker leads a process group of its own."""
    try:
        return os.getpgid(pid) == worker.popen.pid
    except ProcessLookupError:
        return False
