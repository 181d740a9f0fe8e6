"""Checks of a finished command, and the output of one that runs in a terminal."""

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress

from ..e2e.stack import Stack
from .conftest import CODE, Ran

UUID = r"[0-9a-f]{8}-[0-9a-f-]{27}"


def output_of(ran: Ran) -> str:
    """The output of a command that succeeded and printed nothing on standard error."""
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.rstrip("\n")


def assert_failed(ran: Ran, code: int, text: str) -> None:
    """The command ended with this exit code, and printed the text, on standard error only."""
    assert (ran.returncode, ran.stdout) == (code, ""), ran.stderr
    assert text in ran.stderr
    assert "Traceback" not in ran.stderr


def terminal_output(stack: Stack, *arguments: str) -> str:
    """The output of a successful command in a terminal of 80 columns, without control sequences."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "DISPATCHER_URL": stack.url, "TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-c", CODE, *arguments]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, cwd=stack.processes.cwd
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError), os.fdopen(ours, "rb", buffering=0) as terminal:
        while part := terminal.read(65536):
            shown += part
    assert process.wait(30) == 0, shown
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
