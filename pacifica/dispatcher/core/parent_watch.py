"""Ends this process when the process that started it has gone, however that ended.

The parent holds the write end of a pipe, whose read end is the standard input of its children, and names the pipe in
their environment. The kernel closes the write end with the parent's last thread. Only a direct child has the pipe: the
programs that it starts get its environment, and another standard input.
"""

import os
import signal
import threading
import time
from collections.abc import Mapping

VARIABLE = "DISPATCHER_PARENT_PIPE"
"""The environment variable with the number of the pipe's inode."""
GRACE = 30.0
"""Seconds that a process has to stop after SIGTERM; SIGQUIT then makes a worker put its running jobs back."""


def name_of(descriptor: int) -> str:
    """The value of the variable for a pipe."""
    return str(os.fstat(descriptor).st_ino)


def start(environ: Mapping[str, str]) -> None:
    """If the environment names this process's standard input, stop this process when the input ends."""
    try:
        if environ.get(VARIABLE) != name_of(0):
            return
    except OSError:  # It has no standard input.
        return
    pipe = os.dup(0)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is needed
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=_wait, args=(pipe,), name="parent-watch", daemon=True).start()


def _wait(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    # No one reads the output any more: a line of it would raise BrokenPipeError in the middle of the stop.
    nothing = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nothing, descriptor)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), getattr(signal, "SIGQUIT", signal.SIGTERM))
