"""A batch of dispatches: its items, the new jobs that they become, and the idempotency key of the whole."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..core import strict_json
from ..core.dispatch_options import DispatchOptions, parse_options
from ..core.errors import BadArguments, BadOptions, BatchTooLarge, DispatcherError
from ..core.faults import MAX_DESCRIBED_ITEMS, MAX_HINTS, Fault
from ..core.job import now
from ..core.registry import Call, Registry
from ..store.idempotency import IdempotencyKey
from .new_job import DispatchContext, JobFactory, NewJob, request_text

CHUNK = 500
"""How many jobs one transaction stores; other writers get their turn between two transactions."""
UNDESCRIBED = (
    f"are not described, as {MAX_DESCRIBED_ITEMS} earlier items of the batch are not valid; send the item again"
)


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
    """Make a new job of each item that is valid.

    A description of faults costs much more than the check, so only the first items that are not valid have one.
    """
    bound: list[Bound] = []
    failed = 0
    for place, item in enumerate(items):
        one = item if isinstance(item, DispatcherError) else _bind(item, registry, failed)
        failed += isinstance(one, DispatcherError)
        bound.append(one if isinstance(one, DispatcherError) else factory.make(*one, context, place))
    return bound


def _bind(item: DispatchItem, registry: Registry, failed: int) -> tuple[Call, DispatchOptions] | DispatcherError:
    """The call and the options of an item, or what is wrong with it, after so many items that are not valid."""
    describe = failed < MAX_DESCRIBED_ITEMS
    try:
        call = registry.spec(item.task, hint=failed < MAX_HINTS).bind(item.args, item.kwargs, describe=describe)
        return call, parse_options(item.options, registry.queues, describe=describe)
    except BadArguments as error:
        return error if describe else BadArguments(item.task, [Fault("arguments", UNDESCRIBED)])
    except BadOptions as error:
        return error if describe else BadOptions([Fault("options", UNDESCRIBED)])
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
