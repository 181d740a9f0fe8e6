"""The services that the pages show: one record, one worker, and a web server for each kind of settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import requests

from pacifica.dispatcher.core.job import Job, JobError, State, new_uuid, now
from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.tokens import TokenStore

from ..e2e.stack import Stack
from ..processes import Processes, Running

TASKS = Path(__file__).parent / "programs" / "samples.py"
SECTIONS = {
    "plain": "",
    "signed": "[auth]\nanonymous = none\n",
    "prefixed": "[auth]\nanonymous = none\n",
    "watched": "[dashboard]\nmode = read-only\n",
}
"""The settings of each web server beside those that all have."""
EVIL = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"


@dataclass
class Site:
    """The servers start when a test first asks for them."""

    processes: Processes
    database: Database
    servers: dict[str, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.processes.add_module(TASKS)
        for name, section in SECTIONS.items():
            prefix = "root_path = /lab/jobs\n" if name == "prefixed" else ""
            self.processes.write_config(f"[dispatcher]\ntasks = samples\n{prefix}{section}", f"{name}.ini")
        self.processes.write_config("[dispatcher]\ntasks = samples\n")

    def url(self, name: str = "plain") -> str:
        """Return the address of the server with these settings, prefix included."""
        if name not in self.servers:
            self.servers[name] = self.processes.start_web("-c", f"{name}.ini")
        return self.servers[name].url + ("/lab/jobs" if name == "prefixed" else "")

    @property
    def stack(self) -> Stack:
        self.url()
        return Stack(self.processes, self.servers["plain"])

    def start_again(self, name: str) -> None:
        """Start a server that was killed, at its former address."""
        before = self.servers[name]
        port = before.url.rpartition(":")[2]
        arguments = ("-m", "pacifica.dispatcher", "-a", "127.0.0.1", "-p", port, "-c", f"{name}.ini")
        self.servers[name] = self.processes.start("web", arguments, url=before.url)
        self.servers[name].wait_until_it_serves()

    @cached_property
    def pages(self) -> Mapping[str, str]:
        """The path of each kind of page, with the jobs that they show; those of jobs have long values of many kinds."""
        trace = "".join(
            f'  File "/a/long/folder/of/modules/{n}.py", line {n}, in run\n    go_on({n})\n' for n in range(60)
        )
        error = JobError("ValueError", "the drift is 0.7 mK " * 20, trace, at="samples.py:52")
        records = [{"device": f"balance {n}", "drift": n / 7, "ok": n % 3 == 0, "note": "x" * n} for n in range(40)]
        failed = ended("calibrate", State.FAILURE, args=["thermostat"], error=error, worker=f"{'long' * 20}@host")
        listed = ended("weigh", State.SUCCESS, args=["gold", 60], result=[n * n % 17 / 3 for n in range(60)])
        pairs = ended("echo", State.SUCCESS, args=["y" * 3000], result=records, labels={"run": "z" * 60})
        evil = evil_jobs()
        self.add(failed, listed, pairs, *evil)
        shown = {"failed": failed, "listed": listed, "records": pairs, "evil": evil[1]}
        frame = {"overview": "/", "jobs": "/ui/jobs", "tasks": "/ui/tasks", "task": "/ui/tasks/weigh"}
        found = {"found": f"/ui/find?q={evil[1].uuid[:8]}"}
        return {**frame, **found, **{name: f"/ui/jobs/{job.uuid}" for name, job in shown.items()}}

    def token(self, name: str, *scopes: str) -> str:
        return Tokens(TokenStore(self.database)).create(name, scopes, own=False, lifetime=None)[0]

    def add(self, *jobs: Job) -> None:
        JobStore(self.database).add(list(jobs))

    def go_on(self, file: str, *steps: int) -> None:
        """Let the task ``heat`` with this name of a file end these steps."""
        for step in steps:
            (self.processes.cwd / f"{file}-{step}").touch()

    def post(self, path: str, body: Any) -> requests.Response:
        return requests.post(f"{self.url()}{path}", json=body, timeout=30)


def ended(task: str, state: State, *, age: float = 60.0, args: Sequence[Any] = (), **columns: Any) -> Job:
    """A job that has ended so many seconds ago."""
    at = now() - int(age * 1_000_000)
    times = {"created": at, "started": at + 40_000, "finished": at + 1_250_000, "eta": None, "due": None}
    known = {"uuid": new_uuid(), "args": list(args), "kwargs": {}, "max_attempts": 3, "attempt": 1}
    return Job(task=task, state=state, **{**known, **times, **columns})


def evil_jobs() -> list[Job]:
    """Jobs with markup in every text that a caller chooses."""
    error = JobError(EVIL, EVIL, f"Traceback: {EVIL}", at=EVIL)
    labels = {"site": EVIL}
    return [
        ended("trap", State.SUCCESS, args=[EVIL], kwargs={EVIL: EVIL}, result={EVIL: [EVIL]}, labels=labels),
        ended("trap", State.FAILURE, args=[EVIL], error=error, labels=labels, caller=EVIL),
        ended(EVIL[:40], State.SUCCESS, result=EVIL),
    ]
