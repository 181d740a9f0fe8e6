"""A task that works, for as long as it is told, on the processor."""

import time

from pacifica.dispatcher import task


@task(name="busy")
def busy(milliseconds: int) -> int:
    """Take so much processor time."""
    until = time.thread_time() + milliseconds / 1e3
    while time.thread_time() < until:
        pass
    return milliseconds
