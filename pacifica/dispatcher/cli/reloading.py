"""The reaction of ``up`` to a changed task module: it restarts its processes, or says that this is needed."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from .exit_codes import CommandFailed
from .module_watch import ModuleWatch

LOOK = 1.0
"""Seconds between two looks at the files."""
CHECK = ("-c", "from pacifica.dispatcher.cli import main; main()", "config", "check")


class Reloading:
    """Looks at the files, at most every ``LOOK`` seconds; ``restart`` replaces the processes, if there is one.

    A changed module is checked first, by ``config check`` in a process of its own: while it is faulty, the processes
    with the old code stay.
    """

    def __init__(
        self, watch: ModuleWatch, console: Console, environ: Mapping[str, str], restart: Callable[[], None] | None
    ) -> None:
        self._watch = watch
        self._console = console
        self._environ = dict(environ)
        self._restart = restart
        self._next = 0.0
        self._named: set[Path] = set()

    def look(self) -> None:
        """React to the files that have changed since the last look."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK
        changed = self._watch.changed()
        if not changed:
            return
        names = ", ".join(path.name for path in changed)
        has = "has" if len(changed) == 1 else "have"
        if self._restart is None:
            if not self._named.issuperset(changed):
                self._say(f"{names} {has} changed. Restart to use it, or start with --reload.")
            self._named.update(changed)
        elif faults := self._faults():
            self._say(f"{names} {has} changed and cannot be used; the code before the change stays in use. {faults}")
        else:
            self._say(f"{names} {has} changed; server and worker start again. Running jobs finish with the old code.")
            self._restart()

    def lost(self, name: str) -> None:
        """React to a process that has ended on its own; raises ``CommandFailed`` unless a change can repair it."""
        if self._restart is None:
            raise CommandFailed(f"The {name} process ended unexpectedly.")
        self._say(f"The {name} process ended. It starts again when a task module or the configuration changes.")

    def _faults(self) -> str:
        checked = subprocess.run(  # noqa: S603 - the command is ours
            [sys.executable, *CHECK],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            start_new_session=True,
            check=False,
        )
        return checked.stderr.strip() if checked.returncode else ""

    def _say(self, text: str) -> None:
        self._console.print(text, style="yellow", markup=False, soft_wrap=True)
