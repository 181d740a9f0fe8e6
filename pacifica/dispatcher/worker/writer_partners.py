"""The parts of a worker that its writer works with, as the writer sees them."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..core.work import ClaimedJob
from .job_request import JobRequest

Item = tuple[ClaimedJob, JobRequest | None]
"""A claimed job, with the request of its message if it has one."""


class Watch(Protocol):
    """Notices that a job may have become due."""

    def wait(self, seconds: float) -> object:
        """Sleep until then, or until ``wake`` is called, or for that many seconds."""

    def wake(self) -> None:
        """End the sleep, or the next one."""

    def close(self) -> None:
        """Release what the watch holds; called by the thread that waits."""


class Pool(Protocol):
    """The jobs that are claimed; ``worker.hand_out`` has them."""

    def room(self) -> int:
        """How many jobs may be claimed now."""

    def starved(self) -> bool:
        """Whether a process may soon have no job to run."""

    def empty(self) -> bool:
        """Whether all claimed jobs have ended."""

    def add(self, claimed: Sequence[Item]) -> None:
        """Run these jobs."""

    def take_back(self, patience: float = ...) -> Sequence[Item]:
        """The jobs that were claimed that many seconds ago, and have not begun; they will not begin."""

    def holds_ahead(self) -> bool:
        """Whether it has jobs that have not begun, which may have to be taken back."""

    def call(self, function: Callable[..., object], *values: Any) -> None:
        """Call the function in the thread that may use the broker's connection."""
