"""The real processes that end-to-end tests drive: web server, worker, gunicorn.

Their output goes to files, which the report of a failed test shows. All of them are ended when the
test is: first asked with SIGTERM, then their whole process group is killed.
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

READY = 30.0
"""Seconds that a process has to become ready; two cores may be busy with other tests."""
GONE = 45.0
"""Seconds that a process has to end after SIGTERM.

A worker that is told to while a job ends takes 30: billiard's child waits so long for its last message to be read
(``GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT``), which its parent no longer does.
"""

SETTINGS = re.compile(r"DISPATCHER_|(BROKER|PEEWEE)_URL$|CELERY_|GUNICORN_")
"""The names of environment variables that would change what our processes do."""
_PORTS = cycle(sample(range(20_000, 32_768), 12_768))
"""In an order of their own for each process; below those that the system hands out for outgoing connections."""
_OURS: list[socket.socket] = []
"""What tells other test processes that a port is taken, as long as this one lives: its number in UDP."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, and that no other process of any test run here will be given."""
    for port in _PORTS:
        claim = socket.socket(type=socket.SOCK_DGRAM)
        with socket.socket() as probe, suppress(OSError):
            claim.bind(("127.0.0.1", port))
            probe.bind(("127.0.0.1", port))
            _OURS.append(claim)
            return port
        claim.close()
    raise AssertionError("the ports go round")


MEASURING = "COVERAGE_PROCESS_CONFIG"
"""With this variable, a Python process measures its coverage (``[tool.coverage.run] patch``)."""

# A test run that is killed tidies nothing up; the kernel then ends what it has started.
WITH_US = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()

BOUND_BY_MODES = ("setpriv", "--bounding-set", "-dac_override", "--") if os.geteuid() == 0 else ()
"""Starts a process that is bound by the modes of files and folders, as every user but root is."""

LIVE: "list[Processes]" = []
"""What the report of a failed test shows, whichever fixture has started it."""


@dataclass
class Running:
    """One process that was started; ``log`` is its output, ``url`` is where it serves, if it does."""

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path
    url: str = ""

    def output(self) -> str:
        """What it has written until now, standard output and error together."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def has_said(self, pattern: str) -> bool:
        """Whether the output holds a match of the regular expression; an ended process raises, with its output."""
        said = re.search(pattern, self.output()) is not None
        if not said and self.popen.poll() is not None and not re.search(pattern, self.output()):
            raise RuntimeError(f"{self.name} ended with {self.popen.returncode}; its output:\n{self.output()}")
        return said

    def wait_until_it_says(self, pattern: str, timeout: float = READY) -> None:
        """Wait for a line of output."""
        eventually(lambda: self.has_said(pattern), timeout, f"{self.name} did not say {pattern!r}")

    def wait_until_it_serves(self, timeout: float = READY) -> None:
        """Wait until it answers on ``/health/live``."""
        eventually(self._serves, timeout, f"{self.name} did not answer")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone, not to its children."""
        self.popen.send_signal(number)

    def send_to_all(self, number: signal.Signals) -> None:
        """Send a signal to the process and all its children, as a terminal does on Ctrl-C."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)

    def kill(self) -> None:
        """End the process and its children at once, without a chance to tidy up."""
        self.send_to_all(signal.SIGKILL)
        self.popen.wait()

    def wait(self, timeout: float = GONE) -> int:
        """The exit status, once it has ended by itself."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still ran after {timeout:g} s") from None

    def ask_to_end(self) -> None:
        """Send SIGTERM, and do not wait."""
        if self.popen.poll() is None:
            self.send(signal.SIGTERM)

    def stop(self, timeout: float = GONE) -> int:
        """Ask it to end, and return its exit status; whatever is left of its process group is killed."""
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


@dataclass
class Processes:
    """Starts processes that share a working directory and an environment, and ends them all.

    ``env`` is added to the environment of each, and ``through`` is a program that starts them. ``measured`` is
    whether their coverage counts, which costs them a third of their speed. A context manager, so that it serves
    fixtures of any scope.
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

    def write_config(self, text: str, name: str = "config.ini") -> Path:
        """Write a file into the working directory; ``config.ini`` there is what every process reads."""
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
        """The embedded web server on a free port, ready to answer."""
        port = free_port()
        arguments = ("-m", "pacifica.dispatcher", "-a", "127.0.0.1", "-p", str(port), *options)
        return self._start_server("web", arguments, port, env)

    def start_gunicorn(self, *options: str, workers: int = 2, env: Mapping[str, str] | None = None) -> Running:
        """The WSGI application under gunicorn, with our settings for it, on a free port, ready to answer."""
        port = free_port()
        own = ("-c", "python:pacifica.dispatcher.gunicorn_conf", "-w", str(workers), "-b", f"127.0.0.1:{port}")
        arguments = ("-m", "gunicorn", *own, *options, "pacifica.dispatcher.wsgi:application")
        return self._start_server("gunicorn", arguments, port, env)

    def start_worker(self, *options: str, concurrency: int = 2, env: Mapping[str, str] | None = None) -> Running:
        """A Celery worker that has connected to its broker and waits for jobs."""
        node = ("-c", str(concurrency), "-n", f"test-{uuid.uuid4().hex}@%h")
        arguments = ("-m", "celery", "-A", "pacifica.dispatcher.tasks", "worker", "-l", "info", *node, *options)
        worker = self.start("worker", arguments, env=env)
        worker.wait_until_it_says(r"@\S+ ready\.")
        return worker

    def start(
        self, name: str, arguments: Sequence[str], *, url: str = "", env: Mapping[str, str] | None = None
    ) -> Running:
        """``python`` with these arguments; does not wait for anything."""
        log = self.cwd / f"{name}-{len(self.running) + 1}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [*WITH_US, *self.through, sys.executable, *arguments],
                cwd=self.cwd,
                env=self._environment(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = Running(name, popen, log, url)
        self.running.append(running)
        return running

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """``python`` with these arguments, run to its end; the status is for the caller to judge."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.cwd,
            env=self._environment(env),
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

    def _environment(self, env: Mapping[str, str] | None) -> dict[str, str]:
        outside = {name: value for name, value in os.environ.items() if not SETTINGS.match(name)}
        if not self.measured:
            outside.pop(MEASURING, None)
        ours = {"HOME": str(self.cwd), "PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1"}
        return outside | ours | self.env | dict(env or {})


def _ended(process: Running) -> bool:
    """Whether it ended when it was asked to; it has ended in any case."""
    try:
        process.stop()
    except AssertionError:
        return False
    return True
