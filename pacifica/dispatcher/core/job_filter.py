"""The filters of a search for jobs, and the cursor between its pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .job import State


class PageCursor(NamedTuple):
    """The last job of a page, after which the next page begins."""

    created: int
    uuid: str


class LabelFilter(NamedTuple):
    """A label that a job must have, with this value, or with any value for ``None``."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """The conditions of a search, all of which must hold. ``since`` is included in the time span, ``until`` is not."""

    task: str | None = None
    states: Sequence[State] = ()
    labels: Sequence[LabelFilter] = ()
    queue: str | None = None
    caller: str | None = None
    since: int | None = None
    until: int | None = None
