"""Serves from several processes on one port: starts children that share a listening socket, and replaces dead ones."""

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import FrameType

from ...core import parent_watch

logger = logging.getLogger(__name__)

LISTENER = "DISPATCHER_LISTENING_SOCKET"
"""The environment variable with the descriptor of the listening socket."""
TRIAL = 30.0
"""Seconds from the start in which a child that ends with an error, or crashes, stops all: none can start.

Later each is replaced, however it ends: the others serve, and the cause may pass, such as a database that is away.
"""
CRASHES = {-getattr(signal, name) for name in ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS")}
"""The statuses of processes that no one has killed: they end by these signals on their own."""
PAUSE = 1.0
"""The least number of seconds between two starts of a child in the same place."""


def inherited_listener(environ: Mapping[str, str]) -> socket.socket | None:
    """The socket that the parent of this process listens at, if it has one."""
    return socket.socket(fileno=int(environ[LISTENER])) if LISTENER in environ else None


class Supervisor:
    """Runs ``command`` in several processes until it gets SIGTERM, SIGINT, SIGQUIT or SIGHUP, which it passes on.

    The children end by themselves if this process is killed (``core.parent_watch``).
    """

    def __init__(
        self, command: Sequence[str], number: int, listener: socket.socket, environ: Mapping[str, str]
    ) -> None:
        self._command = command
        self._listener = listener
        self._pipe, self._held = os.pipe()
        own = {LISTENER: str(listener.fileno()), parent_watch.VARIABLE: parent_watch.name_of(self._pipe)}
        self._environ = {**environ, **own}
        self._children: list[tuple[float, subprocess.Popen[bytes]]] = []
        self._number = number
        self._signals: list[int] = []
        self._trial_ends = 0.0
        self._status = 0

    def run(self) -> int:
        """Supervise; return the status of a child that could not start, or 0 after a signal."""
        ear, mouth = socket.socketpair()
        mouth.settimeout(0)
        signal.set_wakeup_fd(mouth.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._trial_ends = time.monotonic() + TRIAL
        self._children = [self._start() for _ in range(self._number)]
        while self._children:
            ear.recv(1)
            self._children = [child for one in self._children if (child := self._look(*one)) is not None]
            while self._signals:  # Now, as the look may have started a child.
                self._stop(self._signals.pop())
        return self._status

    def _note(self, number: int, _: FrameType | None) -> None:
        self._signals.append(number)
        self._number = 0

    def _start(self) -> tuple[float, "subprocess.Popen[bytes]"]:
        return time.monotonic(), subprocess.Popen(  # noqa: S603 - our own command line
            self._command, stdin=self._pipe, env=self._environ, pass_fds=[self._listener.fileno()]
        )

    def _look(self, since: float, child: "subprocess.Popen[bytes]") -> tuple[float, "subprocess.Popen[bytes]"] | None:
        """The child, or its successor if it has ended; ``None`` if there must be none."""
        status = child.poll()
        if status is None:
            return since, child
        if self._number and (status > 0 or status in CRASHES) and time.monotonic() < self._trial_ends:
            logger.error("Web process %d ended with status %d; the service cannot start.", child.pid, status)
            self._status = status if status > 0 else 128 - status
            self._note(signal.SIGTERM, None)
        if not self._number:
            return None
        logger.error("Web process %d ended with status %d; another one takes its place.", child.pid, status)
        time.sleep(max(0.0, since + PAUSE - time.monotonic()))
        return self._start()

    def _stop(self, number: int) -> None:
        for _, child in self._children:
            child.send_signal(number)
