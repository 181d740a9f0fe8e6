"""Starts processes, measures their memory and processor time, and stops them whatever happens."""

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

GRACE = 20.0
"""Seconds that a process has to end after SIGTERM; then its process group is killed."""
TICK = os.sysconf("SC_CLK_TCK")
FOREIGN = re.compile(
    r"DISPATCHER_|(BROKER|PEEWEE)_URL$|(CELERY|GUNICORN|FLOWER|UVICORN|COVERAGE)_|WEB_CONCURRENCY$|PYTHON|VIRTUAL_ENV$"
)
"""Variables of the caller that would change what the measured processes do."""
# If the benchmark is killed, the kernel ends the processes that it has started.
WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()


class EndedError(RuntimeError):
    """A process has ended by itself; the message holds the end of its output."""


@dataclass(frozen=True)
class Command:
    """A process to start: ``name`` is that of its log file, ``env`` is added to the environment of the group."""

    name: str
    arguments: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Process:
    """A process that was started as the leader of its own process group."""

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path

    def check(self) -> None:
        """Raise ``EndedError`` if the process has ended."""
        if self.popen.poll() is not None:
            output = self.log.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise EndedError(f"{self.name} ended with {self.popen.returncode}:\n{output}")

    def kill(self) -> None:
        """Kill the process and its group."""
        # The system may have given the id of one that has ended to another process, which may lead a group of that id.
        if self.popen.poll() is None or not Path(f"/proc/{self.popen.pid}").exists():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


class Group:
    """The processes of one system, in one working directory."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        outside = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        self._env = outside | {"HOME": str(folder), "PYTHONUNBUFFERED": "1"} | dict(env)
        self.processes: list[Process] = []

    def start(self, command: Command) -> Process:
        """Start a process, without waiting for anything."""
        log = self._folder / f"{command.name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [*WITH_PARENT, *map(str, command.arguments)],
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
        """Start a process and wait for its end; raises ``EndedError`` if it fails."""
        process = self.start(command)
        self.processes.remove(process)
        try:
            process.popen.wait(seconds)
        finally:
            process.kill()
        if process.popen.returncode:
            process.check()

    def check(self) -> None:
        """Raise ``EndedError`` if a process has ended."""
        for process in self.processes:
            process.check()

    def pids(self) -> list[int]:
        """Return the ids of these processes and of all their descendants."""
        return family(process.popen.pid for process in self.processes)

    def stop(self, *chosen: Process) -> None:
        """Stop these processes, or all; the last one that was started comes first."""
        stopped = list(chosen) or list(self.processes)
        try:
            for process in reversed(stopped):
                with suppress(ProcessLookupError):
                    process.popen.send_signal(signal.SIGTERM)
            end = time.monotonic() + GRACE
            for process in stopped:
                with suppress(subprocess.TimeoutExpired):
                    process.popen.wait(max(0.0, end - time.monotonic()))
        finally:
            for process in stopped:
                process.kill()
                self.processes.remove(process)


@contextmanager
def group(folder: Path, env: Mapping[str, str]) -> Iterator[Group]:
    """A group that is stopped at the end, also after Ctrl-C."""
    made = Group(folder, env)
    try:
        yield made
    finally:
        made.stop()


def family(pids: Iterable[int]) -> list[int]:
    """Return these process ids and those of all their descendants."""
    found = list(dict.fromkeys(pids))
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children.setdefault(int(_fields(path)[1]), []).append(int(path.parent.name))
    for pid in found:  # The list grows while it is read.
        found.extend(child for child in children.get(pid, []) if child not in found)
    return found


def named(name: str) -> list[int]:
    """Return the processes of this machine whose program has that name (at most 15 characters)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if path.read_text(encoding="utf-8", errors="replace").strip() == name:
                found.append(int(path.parent.name))
    return found


def processor_seconds(pids: Iterable[int]) -> float:
    """Return the processor time that these processes and their ended children have used so far."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += sum(map(int, _fields(Path(f"/proc/{pid}/stat"))[11:15]))
    return total / TICK


def memory(pids: Iterable[int]) -> float:
    """Return their memory in MB (10^6 bytes) as PSS: a page that several processes share is counted once."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
            found = re.search(r"^Pss:\s+(\d+) kB$", text, re.MULTILINE)
            total += int(found[1]) * 1024 if found else 0
    return total / 1e6


def free_port() -> int:
    """Return a port of 127.0.0.1 on which no process listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Return whether a process listens on this port of 127.0.0.1."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def _fields(stat: Path) -> list[str]:
    """Return the fields after the name, which is in parentheses and may hold spaces and parentheses."""
    return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
