"""The child processes of ``up``, and their output in one terminal."""

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from rich.console import Console
from rich.text import Text

from ..core.control_characters import lines

GRACE = 30.0
"""Seconds that a process has to stop after SIGTERM."""


class Child:
    """One process. Its output is held back until ``release`` or ``discard``, and then shown as it arrives."""

    def __init__(self, name: str, process: "subprocess.Popen[str]", console: Console) -> None:
        self.name = name
        self._process = process
        self._console = console
        self._held: list[str] | None = []
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name=f"{name}-output", daemon=True)
        self._reader.start()

    def ended(self) -> bool:
        return self._process.poll() is not None

    def release(self) -> None:
        """Show the output so far, and all output from now on."""
        with self._lock:
            held, self._held = self._held or [], None
        for line in held:
            self._show(line)

    def discard(self) -> None:
        """Drop the output so far, and show all output from now on."""
        with self._lock:
            self._held = None

    def ask_to_stop(self) -> None:
        """Send SIGTERM: a server finishes its requests, a worker its jobs."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def wait(self) -> None:
        """Wait until the process has ended; Ctrl-C or the end of ``GRACE`` kills it."""
        try:
            self._process.wait(GRACE)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._reader.join(1.0)

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        for line in self._process.stdout:
            with self._lock:
                if self._held is not None:
                    self._held.append(line)
                    continue
            self._show(line)

    def _show(self, line: str) -> None:
        if line.strip():
            self._console.print(Text.assemble((f"{self.name:6} │ ", "dim"), lines(line.rstrip())), soft_wrap=True)


def start(name: str, module: Sequence[str], environ: Mapping[str, str], console: Console) -> Child:
    """Run a Python module in a new session, so that Ctrl-C reaches only its parent."""
    process = subprocess.Popen(  # noqa: S603 - the command is ours
        [sys.executable, "-u", "-m", *module],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    return Child(name, process, console)
