"""The child processes of ``up``, and their output in one terminal."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from types import FrameType
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from ..core import parent_watch
from ..core.control_characters import lines
from .log_selection import LogSelection, text_of

STOP = 15.0
"""Seconds that a worker has to put its jobs back."""


class _Pipe(NamedTuple):
    read: int
    write: int


@cache
def _alive() -> _Pipe:
    """The pipe whose write end this process holds as long as it lives."""
    return _Pipe(*os.pipe())


class Child:
    """One process. Its output is held back until ``release`` or ``settle``, and then shown as it arrives.

    ``retired``: it is to end, when its jobs have finished.
    """

    def __init__(self, name: str, process: "subprocess.Popen[str]", console: Console, *, verbose: bool = False) -> None:
        self.name = name
        self.retired = False
        self._selection = LogSelection(verbose=verbose)
        self._process = process
        self._console = console
        self._held: list[str] | None = []
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name=f"{name}-output", daemon=True)
        self._reader.start()

    def ended(self) -> bool:
        return self._process.poll() is not None

    def release(self) -> None:
        """Show the output so far, and all output from now on: the process has failed."""
        self._selection = LogSelection(verbose=True)
        for line in self._let_go():
            self._show(line)

    def settle(self, known: set[str]) -> None:
        """Show the warnings so far that are not ``known``, add them, and show the selected output from now on."""
        for line in self._let_go():
            if self._selection.shows_of_start(line) and (text := text_of(line)) not in known:
                known.add(text)
                self._show(line)

    def retire(self) -> None:
        """Ask it to stop, while another process takes its place."""
        self.retired = True
        self.ask_to_stop()

    def ask_to_stop(self) -> None:
        """Send SIGTERM: a server finishes its requests, a worker its jobs."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def wait(self, seconds: float = parent_watch.GRACE) -> bool:
        """Wait until the process has ended, at most so long; return whether it has."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            self._reader.join(1.0)
        return self.ended()

    def put_jobs_back(self) -> None:
        """Have a worker stop its running jobs and put them back; a server ends at once."""
        with suppress(ProcessLookupError):
            if self.name == "worker" and hasattr(signal, "SIGQUIT"):
                self._process.send_signal(signal.SIGQUIT)
            else:
                self._process.kill()

    def kill(self) -> None:
        """End the process, and the processes of its session."""
        with suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        self._reader.join(1.0)

    def _let_go(self) -> list[str]:
        with self._lock:
            held, self._held = self._held or [], None
        return held

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        with self._process.stdout as output:
            for line in output:
                self._take(line)

    def _take(self, line: str) -> None:
        with self._lock:
            if self._held is not None:
                self._held.append(line)
                return
        if self._selection.shows(line):
            self._show(line)

    def _show(self, line: str) -> None:
        if line.strip():
            # Rich exits if no one reads the output any more. The process must still find a reader of its own.
            with suppress(OSError, SystemExit):
                self._console.print(Text.assemble((f"{self.name:6} │ ", "dim"), lines(line.rstrip())), soft_wrap=True)


def start(
    name: str, module: Sequence[str], environ: Mapping[str, str], console: Console, *, verbose: bool = False
) -> Child:
    """Run a Python module in a new session, so that Ctrl-C reaches only its parent; it ends when this process ends."""
    process = subprocess.Popen(  # noqa: S603 - the command is ours
        [sys.executable, "-u", "-m", *module],
        env={**environ, parent_watch.VARIABLE: parent_watch.name_of(_alive().read)},
        stdin=_alive().read,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    return Child(name, process, console, verbose=verbose)


def stop(children: Sequence[Child], console: Console) -> None:
    """Let requests and jobs finish for ``GRACE`` seconds; Ctrl-C, or the end of that time, puts running jobs back."""
    with suppress(KeyboardInterrupt):
        _say(console, "Stopping: running jobs may finish; Ctrl-C again puts them back.")
        for child in children:
            child.ask_to_stop()
        if all(child.wait() for child in children):
            return
    with suppress(KeyboardInterrupt):
        _say(console, "Running jobs are stopped and put back; Ctrl-C again kills everything.")
        for child in children:
            child.put_jobs_back()
        all(child.wait(STOP) for child in children)
    for child in children:
        child.kill()


def _say(console: Console, text: str) -> None:
    with suppress(OSError, SystemExit):
        console.print(Text(text, style="dim"))


@contextmanager
def stop_requests(console: Console) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM has arrived, or no one reads the output any more.

    Each further signal interrupts the wait for the children.
    """
    received: list[int] = []

    def record(number: int, _: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, record) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received) or console.quiet
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
