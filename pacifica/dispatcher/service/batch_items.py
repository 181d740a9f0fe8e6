"""A batch of dispatches: its items, the new jobs that they become, and the idempotency key of the whole."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..core import strict_json
from ..core.dispatch_options import parse_options
from ..core.errors import BatchTooLarge, DispatcherError
from ..core.job import now
from ..core.registry import Registry
from ..store.idempotency import IdempotencyKey
from .new_job import DispatchContext, JobFactory, NewJob, request_text

CHUNK = 500
"""How many jobs one transaction stores; other writers get their turn between two transactions."""


@dataclass(frozen=True, slots=True)
class DispatchItem:
    """One item of a batch: the parts of a single dispatch."""

    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]


Item = DispatchItem | DispatcherError
"""An item, or the reason why it could not be read."""
Bound = NewJob | DispatcherError
"""The new job of an item, or the reason why there is none."""


def at_most(limit: int, items: Iterable[Item]) -> Sequence[Item]:
    """Read the items; raises ``BatchTooLarge`` at the first one beyond the limit."""
    read = list(islice(items, limit + 1))
    if len(read) > limit:
        raise BatchTooLarge(limit)
    return read


def bind(items: Sequence[Item], registry: Registry, factory: JobFactory, context: DispatchContext) -> Sequence[Bound]:
    """Make a new job of each item that is valid."""
    return [_bind(item, place, registry, factory, context) for place, item in enumerate(items)]


def _bind(item: Item, place: int, registry: Registry, factory: JobFactory, context: DispatchContext) -> Bound:
    if isinstance(item, DispatcherError):
        return item
    try:
        call = registry[item.task].bind(item.args, item.kwargs)
        return factory.make(call, parse_options(item.options), context, place)
    except DispatcherError as error:
        return error


def chunks(bound: Sequence[Bound]) -> Iterator[Mapping[int, NewJob]]:
    """The new jobs by their places in the batch, in chunks for one transaction each."""
    valid = [(place, new) for place, new in enumerate(bound) if isinstance(new, NewJob)]
    for first in range(0, len(valid), CHUNK):
        yield dict(valid[first : first + CHUNK])


def whole_key(
    items: Sequence[Item], bound: Sequence[Bound], factory: JobFactory, context: DispatchContext
) -> IdempotencyKey | None:
    """The idempotency key of the whole request, including the items that are not valid."""
    if context.idempotency_key is None:
        return None
    texts = [_text(item, new) for item, new in zip(items, bound, strict=True)]
    return factory.key(context, f"[{','.join(texts)}]", now())


def _text(item: Item, new: Bound) -> str:
    if isinstance(item, DispatcherError):
        return strict_json.dumps(str(item))
    if isinstance(new, NewJob) and new.job.encoded is not None:
        return request_text(item.task, new.job.encoded, item.options)
    return strict_json.dumps([item.task, item.args, item.kwargs, item.options])
