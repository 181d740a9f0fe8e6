"""Processes of the product that a server forks, which imports their libraries once for all tests of this process.

They run as if ``python -m`` had started them, but for the libraries. Where those matter, as with ``LD_PRELOAD`` or when
coverage is measured, and in each process that another one starts, the command is executed.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

PROGRAM = Path(__file__).parent / "programs" / "fork_server.py"
MODULES = {"celery", "gunicorn", "pacifica.dispatcher"}
FORKS = hasattr(os, "pidfd_open")
"""Only Linux can wait for a process that is not a child."""
READ_AT_START = ("LANG", "LC_", "LD_", "PYTHON", "REMAP_SIGTERM", "TZ")
"""The beginnings of the environment variables that only a new Python process obeys; billiard reads REMAP_SIGTERM."""
MEASURING = "COVERAGE_PROCESS_CONFIG"
"""A Python process with this variable measures its coverage (``[tool.coverage.run] patch``)."""
_asking = threading.RLock()
_servers: "list[subprocess.Popen[bytes]]" = []


def can_fork(arguments: Sequence[str], env: Mapping[str, str]) -> bool:
    """Return whether ``python`` with these arguments and this environment may be forked."""
    own = {name for name, value in env.items() if name.startswith(READ_AT_START) and os.environ.get(name) != value}
    return (
        FORKS
        and (arguments[0] == "-m" and arguments[1] in MODULES)
        and MEASURING not in env
        and own <= {"PYTHONFAULTHANDLER", "PYTHONPATH", "PYTHONUNBUFFERED"}
    )


class Forked:
    """A forked process; ``pid``, ``returncode`` and the methods are those of ``subprocess.Popen``."""

    def __init__(self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], output: IO[bytes]) -> None:
        self.pid = _ask({"arguments": arguments[1:], "cwd": str(cwd), "env": dict(env)}, output)
        self.returncode: int | None = None
        self._end = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not self._ended(timeout):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            with _asking:
                if self.returncode is None:
                    self.returncode = _ask({"reap": self.pid})
                    os.close(self._end)
        return self.returncode

    def _ended(self, timeout: float | None) -> bool:
        poll = select.poll()  # It takes descriptors from 1024 on, unlike select().
        poll.register(self._end, select.POLLIN)
        return bool(poll.poll(None if timeout is None else 1000 * timeout))

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._end, number)


def _ask(request: dict[str, object], *files: IO[bytes]) -> int:
    """Send a request to the server, and return the answer."""
    with _asking:
        server = _server()
        socket.send_fds(server, [json.dumps(request).encode()], [file.fileno() for file in files])
        return int(server.recv(100))


@cache
def _server() -> socket.socket:
    """Start the server, which ends with this process."""
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    outside = {name: value for name, value in os.environ.items() if name != MEASURING}
    with theirs:
        _servers.append(
            subprocess.Popen(
                [sys.executable, str(PROGRAM), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=outside | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
    return ours
