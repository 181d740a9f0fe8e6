"""A cluster: a record, a broker, workers that a test may kill, and the means to follow its jobs.

Jobs are inserted into the record directly, as a web process that died after the commit would leave them: the workers'
relay publishes them. A test of HTTP starts a web server, too.
"""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from celery import Celery

from pacifica.dispatcher.core.job import Job, State, new_uuid, now
from pacifica.dispatcher.delivery.database_transport import DRIVER
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
    """A working directory with its processes, and the record at ``database_url``."""

    processes: Processes
    database_url: str
    queue: str = "dispatcher"
    broker_url: str = "database://"

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

        ``celery`` in it is a dict of settings of ``[celery]``.
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
        cluster = cls(processes, database_url, queue, broker_url)
        cluster.database.wait_until_up(1, 0)
        return cluster

    @cached_property
    def database(self) -> Database:
        """The record, read by the test itself."""
        return Database(self.database_url)

    @cached_property
    def jobs(self) -> JobStore:
        """The job rows."""
        return JobStore(self.database)

    @cached_property
    def workers(self) -> WorkerStore:
        """The rows of the workers."""
        return WorkerStore(self.database)

    def other_program(self) -> Celery:
        """An application that knows nothing of the dispatcher but its broker, and how its queue is declared."""
        app = Celery(broker=self.broker_url, set_as_current=False)
        app.conf.update(task_default_queue=self.queue, task_queue_max_priority=9)
        if app.connection_for_write().get_transport_cls().driver_name == DRIVER:
            app.conf.broker_transport_options = {"database": self.database}
        return app

    def close(self) -> None:
        """Close the test's connection."""
        self.database.close()

    def worker(self, *options: str, concurrency: int = 2, env: Mapping[str, str] | None = None) -> Running:
        """Start a worker, and wait until it is ready."""
        quiet = ("--without-gossip", "--without-mingle")
        return self.processes.start_worker(*quiet, *options, concurrency=concurrency, env=env)

    def freeze(self, send: Callable[[signal.Signals], object], worker: Running) -> None:
        """Stop a worker's processes at a moment when none of them holds the write lock of SQLite.

        ``send`` sends a signal to those that shall stop. A signal is taken by one thread, and the others go on until
        that one runs: a thread may take the lock after the signal was sent.
        """
        eventually(lambda: self._freeze(send, worker.popen.pid), 20, "it always writes")

    def _freeze(self, send: Callable[[signal.Signals], object], pid: int) -> bool:
        send(signal.SIGSTOP)
        eventually(lambda: set(thread_states(pid)) == {"T"})
        if "sqlite" in self.database_url:
            with closing(sqlite3.connect(self.database.peewee.database, timeout=0.1, isolation_level=None)) as file:
                try:
                    file.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    send(signal.SIGCONT)
                    return False
        return True

    def add(self, task: str, *args: Any, **columns: Any) -> str:
        """Insert a job, which is due unless ``columns`` say otherwise, and return its UUID."""
        return self.add_many([task], *args, **columns)[0]

    def add_many(self, tasks: Iterable[str], *args: Any, **columns: Any) -> list[str]:
        """Insert a job of each task, in one transaction."""
        at = now()
        values: dict[str, Any] = {"due": at, "max_attempts": 3, "target_queue": self.queue} | columns
        jobs = [Job(new_uuid(), task, args, {}, State.PENDING, at, **values) for task in tasks]
        self.jobs.add(jobs)
        return [job.uuid for job in jobs]

    def job(self, uuid: str) -> Job:
        """Return the job."""
        job = self.jobs.get(uuid)
        assert job is not None
        return job

    def history(self, uuid: str) -> list[str]:
        """Return the kinds of the job's events, oldest first."""
        return [event.kind for event in self.jobs.events(uuid)]

    def runs(self, name: str) -> list[int]:
        """Return the process id of each run that a task has recorded under this name."""
        try:
            return [int(line) for line in (self.processes.cwd / f"{name}.runs").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def release(self, name: str) -> None:
        """Let the runs that wait under this name end, now and later."""
        (self.processes.cwd / f"{name}.go").touch()

    def until_run(self, name: str, times: int = 1) -> None:
        """Wait until tasks have recorded so many runs under this name."""
        eventually(lambda: len(self.runs(name)) >= times, 20, f"{name} did not run {times} times")

    def until_run_by(self, worker: Running, name: str) -> None:
        """Wait until this worker or one of its children has recorded a run under this name."""
        eventually(
            lambda: any(belongs_to(worker, pid) for pid in self.runs(name)), 20, f"{name} does not run on that worker"
        )

    def ended(self, uuid: str, timeout: float = 20) -> Job:
        """Wait until the job is final, and return it."""
        return eventually(lambda: job if (job := self.job(uuid)).final else None, timeout, f"job {uuid} did not end")

    def check_final(self, uuids: Iterable[str]) -> Record:
        """Check that each of these jobs is final, became final once, and has not changed since; return their record.

        The results are also read from a web server that still runs.
        """
        serving = [process.url for process in self.processes.running if process.url and process.popen.poll() is None]
        return check_record(self.database_url, uuids, *serving[:1])


MakeCluster = Callable[..., Cluster]
"""The fixture ``make_cluster``: a cluster on a broker and a database of a kind, with settings of ``[dispatcher]``."""


def belongs_to(worker: Running, pid: int) -> bool:
    """Return whether the process is this worker or its child; each worker leads its own process group."""
    try:
        return os.getpgid(pid) == worker.popen.pid
    except ProcessLookupError:
        return False


def thread_states(pid: int) -> list[str]:
    """The state of each thread of a process, as in ``ps``: T for one that is stopped."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return [stat.rpartition(")")[2].split()[0] for stat in stats]
