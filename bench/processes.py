"""Starts processes, waits for them with a limit, sums up their memory, and ends them whatever happens."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ASKED = 20.0
"""Seconds in which a process that was asked to end may do so; then its whole group is killed."""
TICK = os.sysconf("SC_CLK_TCK")
FOREIGN = re.compile(
    r"DISPATCHER_|(BROKER|PEEWEE)_URL$|(CELERY|GUNICORN|FLOWER|UVICORN|COVERAGE)_|WEB_CONCURRENCY$|PYTHON|VIRTUAL_ENV$"
)
"""Variables of the caller that would change what the measured processes do."""
# Where the harness is killed, the kernel ends what it has started.
WITH_US = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()


class EndedError(RuntimeError):
    """A process has ended by itself; the message holds the end of its output."""


@dataclass(frozen=True)
class Command:
    """One process to start: ``name`` for its log, and ``env`` beside what all have."""

    name: str
    arguments: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Process:
    """One that was started, the leader of a group of its own."""

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path

    def must_live(self) -> None:
        """Raises ``EndedError`` when it has ended."""
        if self.popen.poll() is not None:
            told = self.log.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise EndedError(f"{self.name} ended with {self.popen.returncode}:\n{told}")


class Group:
    """The processes of one system, in one working directory."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        outside = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        self._env = outside | {"HOME": str(folder), "PYTHONUNBUFFERED": "1"} | dict(env)
        self.processes: list[Process] = []

    def start(self, command: Command) -> Process:
        """Start it, without waiting for anything."""
        log = self._folder / f"{command.name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [*WITH_US, *map(str, command.arguments)],
                cwd=self._folder,
                env=self._env | dict(command.env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process(command.name, popen, log)
        self.processes.append(process)
        return process

    def run(self, command: Command, seconds: float = 60) -> None:
        """Start it and wait until it has ended well."""
        process = self.start(command)
        self.processes.remove(process)
        try:
            process.popen.wait(seconds)
        finally:
            _kill(process)
        if process.popen.returncode:
            process.must_live()

    def must_live(self) -> None:
        """Raises ``EndedError`` when any of them has ended."""
        for process in self.processes:
            process.must_live()

    def pids(self) -> list[int]:
        """These processes and all that descend from them."""
        return family(process.popen.pid for process in self.processes)

    def pss(self) -> float:
        """Their memory in MB (10^6 bytes), pages that several share counted once among all who share them."""
        return sum(map(_pss, self.pids())) / 1e6

    def cpu(self) -> float:
        """Seconds of processor time that they have used until now, children that ended included."""
        return cpu(self.pids())

    def stop(self) -> None:
        """Ask all to end, the last started first, and kill what is still there after a while."""
        try:
            for process in reversed(self.processes):
                with suppress(ProcessLookupError):
                    process.popen.send_signal(signal.SIGTERM)
            until = time.monotonic() + ASKED
            for process in self.processes:
                with suppress(subprocess.TimeoutExpired):
                    process.popen.wait(max(0.0, until - time.monotonic()))
        finally:
            for process in self.processes:
                _kill(process)
            self.processes.clear()


@contextmanager
def group(folder: Path, env: Mapping[str, str]) -> Iterator[Group]:
    """A group that is stopped at the end, also by Ctrl-C."""
    made = Group(folder, env)
    try:
        yield made
    finally:
        made.stop()


def family(pids: Iterable[int]) -> list[int]:
    """These processes and all that descend from them."""
    found = list(dict.fromkeys(pids))
    children = _children()
    for pid in found:  # It grows while it is read.
        found.extend(child for child in children.get(pid, []) if child not in found)
    return found


def named(name: str) -> list[int]:
    """The processes of this machine whose program has that name (at most 15 characters)."""
    found = []
    for told in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if told.read_text(encoding="utf-8", errors="replace").strip() == name:
                found.append(int(told.parent.name))
    return found


def cpu(pids: Iterable[int]) -> float:
    """Seconds of processor time that these have used until now, with their children that ended."""
    return sum(map(_cpu, pids))


def machine_cpu() -> float:
    """Seconds of processor time that this machine's cores have worked until now, for whomever."""
    fields = Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]
    idle = int(fields[3]) + int(fields[4])
    return (sum(map(int, fields)) - idle) / TICK


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens there."""
    with suppress(OSError), socket.create_connection((host, port), timeout=2):
        return True
    return False


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.popen.pid, signal.SIGKILL)
    process.popen.wait()


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name in parentheses may hold anything, spaces and parentheses, too.
            parent = int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    return children


def _pss(pid: int) -> int:
    with suppress(OSError):
        found = re.search(r"^Pss:\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text("ascii"), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    return 0


def _cpu(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICK
    return 0.0
