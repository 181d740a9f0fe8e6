"""The commands as a user runs them."""

import subprocess
from collections.abc import Callable

import pytest

from ..processes import Processes

Run = Callable[..., "subprocess.CompletedProcess[str]"]
CODE = "from pacifica.dispatcher.cli import main; main(prog_name='pacifica-dispatcher-cmd')"
"""What the installed program does."""


@pytest.fixture
def run(processes: Processes) -> Run:
    """Runs a command to its end, in a working directory of the test's own."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        return processes.run("-c", CODE, *arguments, env=env)

    return run
