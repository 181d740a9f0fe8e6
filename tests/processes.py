"""The real processes that end-to-end tests drive: web server, worker, gunicorn.

Their output goes to files, which the report of a failed test shows. At the end of the test, each of them gets
SIGTERM, and then its whole process group is killed.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import sample
from types import TracebackType
from typing import Self

import requests

from .eventually import eventually
from .forked import MEASURING, Forked, can_fork

READY = 30.0
"""Seconds in which a process must be ready; other tests may keep the cores busy."""
GONE = 45.0
"""Seconds in which a process must end after SIGTERM.

A worker that gets it while a job ends takes 30: billiard's child waits so long for its parent to read the last message
(``GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT``), which the parent no longer does.
"""

SETTINGS = re.compile(r"DISPATCHER_|(BROKER|PEEWEE)_URL$|CELERY_|GUNICORN_")
"""Environment variables that would change what our processes do."""
_PORTS = cycle(sample(range(20_000, 32_768), 12_768))
"""Each test process takes them in another order; the system uses higher ones for outgoing connections."""
_CLAIMS: list[socket.socket] = []
"""UDP sockets with the numbers of the ports that this test process has taken; other test processes try to bind them."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free, and that no test process of this machine will get again."""
    for port in _PORTS:
        claim = socket.socket(type=socket.SOCK_DGRAM)
        with socket.socket() as probe, suppress(OSError):
            claim.bind(("127.0.0.1", port))
            probe.bind(("127.0.0.1", port))
            _CLAIMS.append(claim)
            return port
        claim.close()
    raise AssertionError("there is no free port")


# If the test run is killed, the kernel ends the processes that it has started.
WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()

BOUND_BY_MODES = ("setpriv", "--bounding-set", "-dac_override", "--") if os.geteuid() == 0 else ()
"""Starts a process that must obey the modes of files and folders, as every user but root must."""

LIVE: "list[Processes]" = []
"""All processes whose output the report of a failed test shows, whichever fixture has started them."""


@dataclass
class Running:
    """A process that was started; ``log`` is its output, ``url`` is empty if it does not serve."""

    name: str
    popen: "subprocess.Popen[bytes] | Forked"
    log: Path
    url: str = ""

    def output(self) -> str:
        """Return its standard output and error so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def has_said(self, pattern: str) -> bool:
        """Return whether the output matches; raises ``RuntimeError`` with the output if the process has ended."""
        found = re.search(pattern, self.output()) is not None
        if not found and self.popen.poll() is not None and not re.search(pattern, self.output()):
            raise RuntimeError(f"{self.name} ended with {self.popen.returncode}; its output:\n{self.output()}")
        return found

    def wait_until_it_says(self, pattern: str, timeout: float = READY) -> None:
        """Wait until the output matches the regular expression."""
        eventually(lambda: self.has_said(pattern), timeout, f"{self.name} did not say {pattern!r}")

    def wait_until_it_serves(self, timeout: float = READY) -> None:
        """Wait until it answers ``/health/live``."""
        eventually(self._serves, timeout, f"{self.name} did not answer")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone, not to its children."""
        self.popen.send_signal(number)

    def send_to_all(self, number: signal.Signals) -> None:
        """Send a signal to the process and all its children, as a terminal does on Ctrl-C."""
        if self.popen.poll() is not None and exists(self.popen.pid):
            return  # The system has given its id to another process, which may lead a group of that id.
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)

    def kill(self) -> None:
        """End the process and its children with SIGKILL."""
        self.send_to_all(signal.SIGKILL)
        self.popen.wait()

    def wait(self, timeout: float = GONE) -> int:
        """Wait until it ends by itself, and return its exit status; one that does not ends with its threads' stacks."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.send_to_all(signal.SIGABRT)
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(1)
            raise AssertionError(f"{self.name} still ran after {timeout:g} s") from None

    def ask_to_end(self) -> None:
        """Send SIGTERM, without waiting."""
        if self.popen.poll() is None:
            self.send(signal.SIGTERM)

    def stop(self, timeout: float = GONE) -> int:
        """Send SIGTERM and return the exit status; the rest of its process group is killed."""
        try:
            self.ask_to_end()
            return self.wait(timeout)
        finally:
            self.kill()

    def _serves(self) -> bool:
        if self.popen.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.popen.returncode}; its output:\n{self.output()}")
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/health/live", timeout=5).ok
        return False


def exists(pid: int) -> bool:
    """Return whether a process has this id, or a process that has ended and was not waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass
class Processes:
    """Starts processes that share a working directory and an environment, and stops them all.

    ``env`` is added to the environment of each, and ``through`` is a program that starts them. ``measured`` says
    whether to measure their coverage, which costs a third of their speed. A context manager, for fixtures of any scope.
    """

    cwd: Path
    env: dict[str, str] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)
    through: Sequence[str] = ()
    measured: bool = True

    def __enter__(self) -> Self:
        LIVE.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        LIVE.remove(self)
        for process in self.running:
            process.ask_to_end()
        stuck = [process for process in reversed(self.running) if not _ended(process)]
        if stuck and error is None:
            raise AssertionError("\n".join(f"{one.name} did not end:\n{one.output()}" for one in stuck))

    def kill(self) -> None:
        """End all of them with SIGKILL."""
        for process in self.running:
            process.kill()

    def write_config(self, text: str, name: str = "config.ini") -> Path:
        """Write a file into the working directory, where every process reads ``config.ini``."""
        path = self.cwd / name
        path.write_text(text, encoding="utf-8")
        return path

    def add_module(self, path: Path) -> Path:
        """Copy a Python file into the working directory, where every process can import it."""
        return Path(shutil.copy(path, self.cwd))

    def run_program(self, path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a copy of the Python file in the working directory; raises ``AssertionError`` when it fails."""
        done = self.run(str(self.add_module(path)), *arguments)
        assert done.returncode == 0, done.stderr
        return done

    def start_web(self, *options: str, env: Mapping[str, str] | None = None) -> Running:
        """Start the embedded web server on a free port, and wait until it answers."""
        port = free_port()
        arguments = ("-m", "pacifica.dispatcher", "-a", "127.0.0.1", "-p", str(port), *options)
        return self._start_server("web", arguments, port, env)

    def start_gunicorn(self, *options: str, workers: int = 2, env: Mapping[str, str] | None = None) -> Running:
        """Start gunicorn with the project's settings on a free port, and wait until it answers."""
        port = free_port()
        own = ("-c", "python:pacifica.dispatcher.gunicorn_conf", "-w", str(workers), "-b", f"127.0.0.1:{port}")
        arguments = ("-m", "gunicorn", *own, *options, "pacifica.dispatcher.wsgi:application")
        return self._start_server("gunicorn", arguments, port, env)

    def start_worker(self, *options: str, concurrency: int = 2, env: Mapping[str, str] | None = None) -> Running:
        """Start a Celery worker, and wait until it has connected to its broker."""
        node = ("-c", str(concurrency), "-n", f"test-{uuid.uuid4().hex}@%h")
        arguments = ("-m", "celery", "-A", "pacifica.dispatcher.tasks", "worker", "-l", "info", *node, *options)
        worker = self.start("worker", arguments, env=env)
        worker.wait_until_it_says(r"@\S+ ready\.")
        return worker

    def start(
        self, name: str, arguments: Sequence[str], *, url: str = "", env: Mapping[str, str] | None = None
    ) -> Running:
        """Start ``python`` with these arguments, without waiting."""
        log = self.cwd / f"{name}-{len(self.running) + 1}.log"
        environment = self.environment(env)
        with log.open("wb") as output:
            popen = (
                Forked(arguments, self.cwd, environment, output)
                if can_fork(arguments, environment) and not self.through
                else subprocess.Popen(
                    [*WITH_PARENT, *self.through, sys.executable, *arguments],
                    cwd=self.cwd,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
        running = Running(name, popen, log, url)
        self.running.append(running)
        return running

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``python`` with these arguments to its end; the caller checks the status."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.cwd,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )

    def _start_server(self, name: str, arguments: Sequence[str], port: int, env: Mapping[str, str] | None) -> Running:
        running = self.start(name, arguments, url=f"http://127.0.0.1:{port}", env=env)
        running.wait_until_it_serves()
        return running

    def environment(self, env: Mapping[str, str] | None) -> dict[str, str]:
        """Return the environment of a process that gets these further variables."""
        outside = {name: value for name, value in os.environ.items() if not SETTINGS.match(name)}
        if not self.measured:
            outside.pop(MEASURING, None)
        ours = {"HOME": str(self.cwd), "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", "NO_PROXY": "127.0.0.1"}
        return outside | ours | self.env | dict(env or {})


def _ended(process: Running) -> bool:
    """Stop it, and return whether SIGTERM was enough."""
    try:
        process.stop()
    except AssertionError:
        return False
    return True
