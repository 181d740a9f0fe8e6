"""``@Operation`` beside a handler: the one place where the facts of a route are declared.

The dispatcher finds the operation of each request. The guard reads its scope, the body reader its media types, the
query check its parameters, metrics and spans its path, and the OpenAPI document all of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

Handler = TypeVar("Handler", bound=Callable[..., Any])
Query = str | list[str] | None
"""The value of a query parameter: a list if the query repeats the parameter."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, eq=False)
class Operation:
    """Declares that the decorated handler answers ``path``; the handler's docstring becomes the description.

    ``scope`` is required of the caller; ``None`` admits everyone. ``every_job`` also refuses callers whose scope has
    task globs or ``own``, for routes that show all jobs at once. ``responses`` lists the content of each status,
    separated by commas: a schema of ``openapi.schemas`` (as JSON), a media type, optionally with the schema of its
    text (``text/plain uuid``), a header of ``RESPONSE_HEADERS``, or nothing. ``body`` uses the same notation. Errors
    that many routes share need not be declared. ``query`` maps the name of each parameter to its schema; any other
    parameter is refused. ``headers`` are request headers of ``REQUEST_HEADERS``. A ``short`` handler takes far less
    than a millisecond beside what it waits for through the container's ``Waiter``; the server's loop runs it, and
    threads run all others. A ``page`` is for people: its body is a form, its errors are pages, and the OpenAPI document
    leaves it out.
    """

    path: str
    scope: str | None
    responses: Mapping[int, str]
    body: str = ""
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    headers: Sequence[str] = ()
    every_job: bool = False
    short: bool = False
    page: bool = False

    def __call__(self, handler: Handler) -> Handler:
        """Add this operation to those of the handler."""
        vars(handler)["operations"] = (self, *getattr(handler, "operations", ()))
        return handler

    @property
    def switched_off(self) -> bool:
        """Whether the handler only refuses its method: neither ``Allow`` nor the OpenAPI document names it."""
        return self.responses.keys() == {405}

    @property
    def segments(self) -> int:
        return len([segment for segment in self.path.split("/") if segment])

    @property
    def names_task(self) -> bool:
        """Whether the path names the task that is dispatched, so that the scope must cover this task."""
        return "{task}" in self.path

    @property
    def names_job(self) -> bool:
        return "{uuid}" in self.path


@lru_cache(maxsize=256)
def operation_of(handler: Callable[..., Any], segments: int) -> Operation | None:
    """The handler's operation for a path of so many segments: the longest that fits, as the last segment may repeat."""
    declared: Sequence[Operation] = getattr(handler, "operations", ())
    fitting = [each for each in declared if each.segments <= segments]
    return max(fitting, key=lambda each: each.segments, default=None)


def handlers(resource: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every method of every resource in the tree, with its handler."""
    for name in METHODS:
        if hasattr(resource, name):
            yield name, getattr(resource, name)
    public = [child for name, child in vars(resource).items() if not name.startswith("_")]
    for child in [*public, *getattr(resource, "below", {}).values()]:
        if getattr(child, "exposed", False):
            yield from handlers(child)
