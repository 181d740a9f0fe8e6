"""Authorization as a table: which scope each method of each resource takes; what is not here is refused."""

from collections.abc import Mapping
from typing import NamedTuple

from ...core.permissions import CANCEL, DISPATCH, READ


class Rule(NamedTuple):
    """What a method takes: a scope, or ``None`` for anybody.

    ``about`` says what the first segment of the path behind the resource is: ``task`` and ``job`` are
    held against the scope's task globs, and ``job`` against ``own``, too. Where the path has no such
    segment, the handler keeps to the caller's reach: a search shows, and a batch takes, what is within it.
    ``everything`` is for what shows, or touches, all jobs at once, which a caller with globs or ``own`` may not.
    """

    scope: str | None
    about: str = "nothing"


OPEN = Rule(None)
ACCESS: Mapping[str, Mapping[str, Rule]] = {
    "Root": {"GET": Rule(READ)},
    "Dispatch": {
        "GET": Rule(DISPATCH, "task"),
        "HEAD": Rule(DISPATCH, "task"),
        "POST": Rule(DISPATCH, "task"),
    },
    "Status": {"GET": Rule(READ, "job"), "DELETE": Rule(CANCEL, "job")},
    "Events": {"GET": Rule(READ, "job")},
    "AllEvents": {"GET": Rule(READ)},
    "Retry": {"POST": Rule(DISPATCH, "job")},
    "Result": {"GET": Rule(READ, "job")},
    "Tasks": {"GET": Rule(READ)},
    "Openapi": {"GET": Rule(READ)},
    "Docs": {"GET": Rule(READ)},
    "Live": {"GET": OPEN},
    "Ready": {"GET": OPEN},
    "Metrics": {"GET": Rule(READ, "everything")},
}
"""By the resource's class and the name of its method; a HEAD or OPTIONS that CherryPy answers itself has none."""


def rule(handler: object) -> Rule | None:
    """The rule of a bound method of a resource; ``None`` when there is none, which is to be refused."""
    resource = type(getattr(handler, "__self__", None)).__name__
    return ACCESS.get(resource, {}).get(getattr(handler, "__name__", ""))
