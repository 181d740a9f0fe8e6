"""The lane between a pool process and the main process: permission to begin a message's jobs, and their outcomes.

The permission is a byte in a pipe for each job, its number in the message. A pool process reads a byte before it
begins the job, and the main process takes jobs back by reading bytes itself. The kernel gives each byte to one of them,
so no job is both begun and taken back, and a process that is killed holds no lock. The bytes that are left after its
death are the jobs that it had not begun; billiard may give the message to another process, which begins those.

The outcomes are in a file, each as soon as its job has ended: so a job that takes long, or ends the process, neither
delays nor loses the outcomes of the jobs before it in the message.
"""

import os
import pickle
import struct
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

SIZE = struct.Struct("!I")
"""The size of an outcome, before it in the file."""


class Lane(NamedTuple):
    """The descriptors of one message: the end of the pipe to read from, and the file."""

    pipe: int
    file: int


class BeginTokens:
    """The pipes and files, made before the pool forks; ``number`` is how many messages may use them at a time."""

    def __init__(self, number: int) -> None:
        self._writers: dict[int, int] = {}
        self._free: list[Lane] = []
        for _ in range(number):
            pipe, writer = os.pipe()
            os.set_blocking(pipe, False)
            os.set_blocking(writer, False)
            self._writers[pipe] = writer
            self._free.append(Lane(pipe, _new_file()))
        self._lanes = tuple(self._free)

    def any(self) -> bool:
        """Whether a lane is free."""
        return bool(self._free)

    def lend(self, jobs: int) -> Lane | None:
        """A lane with a token for each of the jobs, and no outcomes; ``None`` if all are in use."""
        if not self._free:
            return None
        lane = self._free.pop()
        os.ftruncate(lane.file, 0)
        os.write(self._writers[lane.pipe], bytes(range(jobs)))
        return lane

    def end(self, lane: Lane) -> None:
        """Let another message use the lane; no process reads from it any more."""
        take_tokens(lane)
        self._free.append(lane)

    def close(self) -> None:
        """Close all descriptors; no message uses a lane any more."""
        for lane in self._lanes:
            for descriptor in (*lane, self._writers[lane.pipe]):
                os.close(descriptor)


def take_tokens(lane: Lane) -> int:
    """Take all tokens that are left, and return how many; so many of the message's last jobs do not begin."""
    try:
        return len(os.read(lane.pipe, 65_536))
    except BlockingIOError:
        return 0


def next_job(lane: Lane) -> int | None:
    """Take a token in a pool process: the number of the job to begin; ``None`` if none is left."""
    try:
        return os.read(lane.pipe, 1)[0]
    except BlockingIOError:
        return None


def append_outcome(lane: Lane, outcome: Any) -> None:
    """Write an outcome at the end of the file; raises ``OSError``."""
    text = pickle.dumps(outcome)
    data, place = memoryview(SIZE.pack(len(text)) + text), os.fstat(lane.file).st_size
    while data:
        written = os.pwrite(lane.file, data, place)
        place, data = place + written, data[written:]


def read_outcomes(lane: Lane, place: int) -> tuple[Sequence[Any], int]:
    """The outcomes from this place of the file, and the place after them; a process may be writing the last one."""
    size = os.fstat(lane.file).st_size - place
    data = os.pread(lane.file, size, place) if size > 0 else b""
    found, at = [], 0
    while at + SIZE.size <= len(data):
        begin = at + SIZE.size
        end = begin + SIZE.unpack_from(data, at)[0]
        if end > len(data):
            break
        found.append(pickle.loads(data[begin:end]))  # noqa: S301 - a process of this worker has written it
        at = end
    return found, place + at


def _new_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("outcomes")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
