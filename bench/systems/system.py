"""What a measured system is: how it is started, asked, and counted."""

import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from ..processes import Command, Group, answers, free_port, group
from ..requesting import Answer, Client, Request
from ..servers import Servers, lend

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv" / "bin"
"""Where the peers are installed; arq has an environment of its own (requirements-arq.in says why)."""
ARQ = ROOT / ".venv-arq" / "bin"
OURS = Path(sys.prefix) / "bin"
"""The project's development environment, in which the harness runs as well."""
PLAIN = Path(os.environ.get("BENCH_PLAIN", ROOT / ".venv-plain")) / "bin"
"""The project as its users install it, with gunicorn and nothing else: what is measured beside the peers."""

READY = 45.0
"""Seconds until a first job has gone all the way."""


@dataclass(frozen=True)
class Place:
    """Where one start of a system lives: its working directory, its port, and ``told``, its environment."""

    folder: Path
    port: int
    told: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def redis(self) -> str:
        """The server's URL, without a database's number."""
        return self.told["BENCH_REDIS_URL"]


class System(ABC):
    """One of the systems.

    Its application is a folder of its own with ``web.py`` and ``work.py``, as its users write them.

    ``scales`` is whether its web part can be several processes at one port.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    environment: ClassVar[Path] = PEERS
    scales: ClassVar[bool] = True
    peer: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]]
    logs: ClassVar[str]
    """What it writes for each request and each job, as it is set up here."""
    dispatch: ClassVar[Request] = Request("/dispatch/add/2/2")

    @property
    def app(self) -> Path:
        """The folder of its application."""
        return Path(__file__).parent / self.name.replace("-", "_")

    def missing(self, servers: Servers) -> str:
        """Why it cannot be measured, as a sentence; empty when it can."""
        if not (self.environment / "python").exists():
            return f"{ROOT.name}/{self.environment.parent.name} is not there (make bench installs it)"
        return servers.missing(*self.needs)

    def prepare(self, place: Place, processes: Group) -> None:  # noqa: B027 - most need nothing
        """What comes before the first process."""

    @abstractmethod
    def web(self, place: Place, processes: int) -> Sequence[Command]:
        """The web part, with that many processes that answer."""

    @abstractmethod
    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        """The workers, with that many processes that work."""

    @abstractmethod
    def finished(self, place: Place) -> int:
        """How many jobs have ended since the start, counted beside the system. It may be 0 while any is open."""

    def job(self, answer: Answer) -> str:
        """The id of the job that was dispatched."""
        return str(json.loads(answer.body)["id"])

    def status(self, job: str) -> Request:
        """What asks for state and result."""
        return Request(f"/status/{job}")

    def done(self, answer: Answer) -> bool:
        """Whether a status tells that the job has ended; raises ``AssertionError`` when it has ended wrong."""
        told = json.loads(answer.body)
        return self.right(told["state"] in self.ended, told)

    ended: ClassVar[tuple[str, ...]] = ("SUCCESS",)

    @staticmethod
    def right(ended: bool, told: dict[str, Any]) -> bool:
        """``ended``, once the result was seen to be 4."""
        assert not ended or told["result"] == 4, f"the result of 2 + 2 is 4, not {told}"
        return ended

    def python(self, *arguments: str | Path) -> Sequence[str | Path]:
        """Python of its environment."""
        return (self.environment / "python", *arguments)


class Live:
    """A system that runs, and has answered one job already."""

    def __init__(self, system: System, place: Place, processes: Group) -> None:
        self.system = system
        self.place = place
        self.processes = processes

    @property
    def url(self) -> str:
        """Where it serves."""
        return self.place.url

    @property
    def folder(self) -> Path:
        """Its working directory."""
        return self.place.folder

    def finished(self) -> int:
        """How many jobs have ended since the start."""
        return self.system.finished(self.place)

    def drain(self, expected: int, seconds: float = 120) -> float:
        """Wait until that many jobs have ended since the start, and no more do; returns when the last did (monotonic).

        Raises ``TimeoutError`` when they do not come: then a job was lost, or the system is too slow.
        """
        until = time.monotonic() + seconds
        counted, at = self.finished(), time.monotonic()
        while counted < expected or time.monotonic() < at + QUIET:
            if time.monotonic() > until:
                raise TimeoutError(f"{counted} of {expected} jobs had ended after {seconds:g} s")
            self.processes.must_live()
            time.sleep(LOOK)
            now = self.finished()
            if now != counted:
                counted, at = now, time.monotonic()
        return at


LOOK = 0.02
"""Seconds between two countings of what has ended."""
QUIET = 0.3
"""Seconds without another ending job, after which a system counts as drained: requests may have been under way."""


@contextmanager
def running(system: System, servers: Servers, web: int = 1, workers: int = 2) -> Iterator[Live]:
    """A fresh start of it, with empty stores, ready: a job of its has come back. All is stopped in the end."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(TemporaryDirectory(prefix=f"bench-{system.name}-", ignore_cleanup_errors=True))
        )
        place = Place(folder, free_port(), lend(stack, servers, system.needs))
        env = {**place.told, "PYTHONPATH": str(system.app)} if system.app.is_dir() else place.told
        processes = stack.enter_context(group(folder, env))
        system.prepare(place, processes)
        for command in (*system.workers(place, workers), *system.web(place, web)):
            processes.start(command)
        live = Live(system, place, processes)
        _await_first_job(live)
        yield live


def _await_first_job(live: Live) -> None:
    until = time.monotonic() + READY
    while not answers(live.place.port):
        live.processes.must_live()
        if time.monotonic() > until:
            raise TimeoutError(f"{live.system.title} did not answer within {READY:g} s")
        time.sleep(0.02)
    with Client(live.url) as client:
        job = live.system.job(client.ask(live.system.dispatch))
        client.poll(live.system.status(job), live.system.done, READY)
