"""The child processes of ``up``, and their output in one terminal."""

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from rich.console import Console
from rich.text import Text

from ..core.control_characters import lines
from .log_selection import LogSelection, text_of

GRACE = 30.0
"""Seconds that a process has to stop after SIGTERM."""


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

    def wait(self) -> None:
        """Wait until the process has ended; Ctrl-C or the end of ``GRACE`` kills it."""
        try:
            self._process.wait(GRACE)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
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
        for line in self._process.stdout:
            with self._lock:
                if self._held is not None:
                    self._held.append(line)
                    continue
            if self._selection.shows(line):
                self._show(line)

    def _show(self, line: str) -> None:
        if line.strip():
            self._console.print(Text.assemble((f"{self.name:6} │ ", "dim"), lines(line.rstrip())), soft_wrap=True)


def start(
    name: str, module: Sequence[str], environ: Mapping[str, str], console: Console, *, verbose: bool = False
) -> Child:
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
    return Child(name, process, console, verbose=verbose)
