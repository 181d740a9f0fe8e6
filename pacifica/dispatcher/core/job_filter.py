"""What may be looked for among the jobs, and where a page of them ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .job import State


class PageCursor(NamedTuple):
    """Where a page ends: the job that was shown last."""

    created: int
    uuid: str


class LabelFilter(NamedTuple):
    """A label that a job must have; without ``value``, whatever its value is."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What is looked for; all of it must hold. ``since`` is the first moment, ``until`` the first that is too late."""

    task: str | None = None
    states: Sequence[State] = ()
    labels: Sequence[LabelFilter] = ()
    queue: str | None = None
    caller: str | None = None
    since: int | None = None
    until: int | None = None
