"""A measured system: how it is started, asked, and counted."""

import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from ..processes import Command, Group, Process, answers, free_port, group
from ..requesting import Answer, Client, Request
from ..servers import Servers, missing

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv" / "bin"
"""The environment of the peers; arq has one of its own (requirements-arq.in gives the reason)."""
ARQ = ROOT / ".venv-arq" / "bin"
DEVELOPMENT = Path(sys.prefix) / "bin"
"""The project's development environment, in which the benchmark itself runs."""
PLAIN = Path(os.environ.get("BENCH_PLAIN", ROOT / ".venv-plain")) / "bin"
"""The project as its users install it, with the driver of PostgreSQL and nothing else."""

READY = 45.0
"""Seconds until the first job has ended."""
LOOK = 0.02
"""Seconds between two counts of what has ended, at the least."""
SHARE = 20
"""A pause lasts at least so many times as long as the look before it, which must not slow down what it counts."""
QUIET = 0.3
"""A system is drained when so many seconds pass without another ended job: requests may have been on their way."""


@dataclass(frozen=True)
class Place:
    """Where one start of a system runs: its working directory, its port, and the servers, as variables."""

    folder: Path
    port: int
    env: Mapping[str, str]

    @property
    def redis(self) -> str:
        """The URL of Redis, without the number of a database."""
        return self.env["BENCH_REDIS_URL"]

    @property
    def postgresql(self) -> str:
        """The URL of the system's own database in PostgreSQL."""
        return self.env["BENCH_POSTGRESQL_URL"]


@dataclass(frozen=True)
class Promises:
    """The promises of a system for each job, in the words of the report; README.md says how each was verified."""

    record: str
    """The storage that holds the job when the client receives the id."""
    killed: str
    """The fate of a job whose worker is killed while it runs."""
    history: str
    arguments: str
    """The checks of the system, without those of the web framework."""


class System(ABC):
    """A system; its application is a folder with ``web.py`` and ``work.py``, as its users write them."""

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    environment: ClassVar[Path] = PEERS
    libraries: ClassVar[tuple[str, ...]]
    logs: ClassVar[str]
    """The lines that it logs for each request and each job, as it is set up here."""
    promises: ClassVar[Promises]
    dispatch: ClassVar[Request] = Request("/dispatch/add/2/2")
    waiting: ClassVar[Request | None] = None
    """A request that dispatches and answers with the result, if the system can wait for it."""
    ended: ClassVar[str] = "SUCCESS"
    """The state of a job that has succeeded."""
    result: ClassVar[int | None] = 4
    """The result in that status; None if the system keeps no result."""
    source: ClassVar[str] = ""
    """The folder of its application, if that is not the name."""

    @property
    def app(self) -> Path:
        """The folder of its application."""
        return ROOT / "systems" / (self.source or self.name.replace("-", "_"))

    def missing(self) -> str:
        """Return why the system cannot be measured; empty if it can."""
        if not (self.environment / "python").exists():
            return f"{ROOT.name}/{self.environment.parent.name} does not exist (make bench creates it)"
        return "; ".join(filter(None, map(missing, self.needs)))

    def prepare(self, place: Place, processes: Group) -> None:  # noqa: B027 - most systems need nothing
        """Do what is needed before the first process starts."""

    @abstractmethod
    def web(self, place: Place) -> Command:
        """Return the command of the web part: one process that answers."""

    @abstractmethod
    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        """Return the commands of the workers, with so many processes that work."""

    @abstractmethod
    def finished(self, place: Place) -> int:
        """Return how many jobs have ended since the start, counted in its store; 0 is allowed while one is open."""

    def job(self, answer: Answer) -> str:
        """Return the id of the job that was dispatched."""
        return str(json.loads(answer.body)["id"])

    def status(self, job: str) -> Request:
        """Return the request for the state and the result."""
        return Request(f"/status/{job}")

    def done(self, answer: Answer) -> bool:
        """Return whether the job has succeeded; raises ``AssertionError`` if the result of 2 + 2 is wrong."""
        found: dict[str, Any] = json.loads(answer.body)
        ended = found["state"] == self.ended
        assert not ended or found.get("result") == self.result, f"the result of 2 + 2 is 4, not {found}"
        return ended


class Running:
    """One start of a system."""

    def __init__(self, system: System, place: Place, processes: Group) -> None:
        self.system = system
        self.place = place
        self.processes = processes
        self.url = f"http://127.0.0.1:{place.port}"
        self.folder = place.folder

    def start_web(self) -> Process:
        """Start the web part, and do not wait."""
        return self.processes.start(self.system.web(self.place))

    def start_workers(self, processes: int = 2) -> list[Process]:
        """Start the workers, and do not wait."""
        return [self.processes.start(command) for command in self.system.workers(self.place, processes)]

    def workers(self) -> list[Process]:
        """Return the processes of the worker."""
        return [one for one in self.processes.processes if one.name != "web"]

    def wait(self, fact: Callable[[], bool], otherwise: str, seconds: float = 180, look: float = LOOK) -> None:
        """Wait for the fact; raises ``TimeoutError`` with ``otherwise``, ``EndedError`` if a process ends."""
        begin = looked = time.monotonic()
        while not fact():
            now = time.monotonic()
            self.processes.check()
            if now > begin + seconds:
                raise TimeoutError(f"{self.system.title}: {otherwise} within {seconds:g} s")
            time.sleep(max(look, SHARE * (now - looked)))
            looked = time.monotonic()

    def wait_for_web(self) -> None:
        """Wait until the web part accepts connections."""
        self.wait(lambda: answers(self.place.port), "the web server did not answer", READY, look=0.005)

    def wait_for_job(self) -> None:
        """Dispatch a job, and wait for its result."""
        with Client(self.url) as client:
            job = self.system.job(client.ask(self.system.dispatch))
            client.poll(self.system.status(job), self.system.done, READY)

    def finished(self) -> int:
        """Return how many jobs have ended since the start."""
        return self.system.finished(self.place)

    def drain(self, expected: int, seconds: float) -> float:
        """Wait until so many jobs have ended since the start and no more do; return when the last one did (monotonic).

        Raises ``TimeoutError`` if they do not: then a job was lost, or the system is too slow.
        """
        begin = looked = time.monotonic()
        count, at = self.finished(), time.monotonic()
        while count < expected or time.monotonic() < at + QUIET:
            if time.monotonic() > begin + seconds:
                raise TimeoutError(f"{count} of {expected} jobs had ended after {seconds:g} s")
            self.processes.check()
            time.sleep(max(LOOK, SHARE * (time.monotonic() - looked)))
            looked = time.monotonic()
            if (now := self.finished()) != count:
                count, at = now, time.monotonic()
        return at


@contextmanager
def prepared(system: System, servers: Servers) -> Iterator[Running]:
    """A start of the system with empty stores; no process runs yet, and all are stopped at the end."""
    with ExitStack() as stack:
        prefix = f"bench-{system.name}-"
        folder = stack.enter_context(TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True))
        place = Place(Path(folder), free_port(), servers.environment(stack, system.needs))
        processes = stack.enter_context(group(place.folder, {**place.env, "PYTHONPATH": str(system.app)}))
        system.prepare(place, processes)
        yield Running(system, place, processes)
