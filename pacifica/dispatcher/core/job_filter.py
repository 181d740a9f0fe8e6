"""The filters of a search for jobs, and the cursor between its pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .job import State

MOST_FAILURES = 1000
"""How many failed jobs a page of a search for the text of an error looks at."""


class PageCursor(NamedTuple):
    """The last job that a page has shown or looked at, after which the next page begins."""

    created: int
    uuid: str


class LabelFilter(NamedTuple):
    """A label that a job must have, with this value, or with any value for ``None``."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """The conditions of a search, all of which must hold. ``since`` is included in the time span, ``until`` is not.

    ``error`` is a text that the type or the message of a failed job's error contains, in upper or lower case; jobs in
    other states have no error, and are not found by it.
    """

    task: str | None = None
    states: Sequence[State] = ()
    labels: Sequence[LabelFilter] = ()
    queue: str | None = None
    caller: str | None = None
    error: str | None = None
    since: int | None = None
    until: int | None = None
