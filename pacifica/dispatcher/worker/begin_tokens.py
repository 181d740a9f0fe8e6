"""Permission to begin the jobs of one pool message: a byte in a pipe for each job.

A pool process reads a byte before it begins a job, and the main process takes jobs back by reading bytes itself. The
kernel gives each byte to one of them, so no job is both begun and taken back, and a process that is killed holds no
lock. The bytes that are left after its death are the jobs that it had not begun.
"""

import os


class BeginTokens:
    """The pipes, made before the pool forks; ``number`` is how many messages may use one at a time."""

    def __init__(self, number: int) -> None:
        pipes = [os.pipe() for _ in range(number)]
        for end in (end for ends in pipes for end in ends):
            os.set_blocking(end, False)
        self._writers = dict(pipes)
        self._free = list(self._writers)

    def any(self) -> bool:
        """Whether a pipe is free."""
        return bool(self._free)

    def lend(self, jobs: int) -> int | None:
        """A pipe with a token for each of the jobs, as the descriptor to read from; ``None`` if all are in use."""
        if not self._free:
            return None
        pipe = self._free.pop()
        os.write(self._writers[pipe], bytes(jobs))
        return pipe

    def take_back(self, pipe: int) -> int:
        """Take all tokens that are left, and return how many; so many of the message's last jobs do not begin."""
        try:
            return len(os.read(pipe, 65_536))
        except BlockingIOError:
            return 0

    def end(self, pipe: int) -> None:
        """Let another message use the pipe; no process reads from it any more."""
        self._free.append(pipe)


def may_begin(pipe: int | None) -> bool:
    """Take a token in a pool process; false if the main process has taken the other jobs of the message back."""
    if pipe is None:
        return True
    try:
        return bool(os.read(pipe, 1))
    except BlockingIOError:
        return False
