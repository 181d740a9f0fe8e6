"""Many jobs in requests of a bounded size; a request that is sent again yields the same jobs."""

import time
from collections.abc import Iterable, Iterator

from .connection import TRANSIENT, ServiceConnection, parse
from .errors import BadValue, Refused
from .retries import pauses
from .serialization import to_json
from .values import BatchItem, Document, Problem

MOST_ITEMS = 1000
"""The largest number of items in one request; the service takes 10,000 by default."""
MOST_BYTES = 1_048_576
"""The largest size of a request with more than one item; the service takes 16 MiB by default."""
LONGEST_KEY = 240
"""The largest length of a batch's key, which leaves room for the number of an item."""
Outcome = str | Problem
"""The UUID of an item's job, or the problem that prevented it."""


class Batch:
    """The requests of one batch.

    The request whose first item is number ``n`` has the key ``<key>-<n>``, so the jobs of an earlier run are found
    again, as long as the items are the same. An item that cannot be sent is sent as ``null`` to keep its place.
    """

    def __init__(self, connection: ServiceConnection, key: str) -> None:
        if len(key) > LONGEST_KEY:
            raise BadValue(f"The key of a batch has at most {LONGEST_KEY} characters; this one has {len(key)}.")
        self._connection = connection
        self._key = key

    def outcomes(self, items: Iterable[BatchItem | Problem]) -> Iterator[Outcome]:
        """An outcome for each item, in order, as soon as its request is answered."""
        first = 1
        for chunk in chunks(items):
            yield from self._request(first, chunk)
            first += len(chunk)

    def _request(self, first: int, chunk: list[str | Problem]) -> Iterator[Outcome]:
        try:
            outcomes = self._send(f"{self._key}-{first}", chunk)
        except Refused as error:
            if error.status != 413:
                raise
            if len(chunk) == 1:
                yield error.problem
                return
            half = len(chunk) // 2
            yield from self._request(first, chunk[:half])
            yield from self._request(first + half, chunk[half:])
            return
        for item, outcome in zip(chunk, outcomes, strict=True):
            yield item if isinstance(item, Problem) else outcome

    def _send(self, key: str, chunk: list[str | Problem]) -> list[Outcome]:
        """Send again while a failing database rejects items; the key finds the jobs of the others."""
        text = "[{}]".format(",".join("null" if isinstance(item, Problem) else item for item in chunk))
        for pause in pauses(self._connection.retries):
            outcomes = self._send_once(key, text, len(chunk))
            if not any(isinstance(one, Problem) and one.status in TRANSIENT for one in outcomes):
                return outcomes
            time.sleep(pause)
        return self._send_once(key, text, len(chunk))

    def _send_once(self, key: str, text: str, count: int) -> list[Outcome]:
        try:
            answer = self._connection.json("POST", "/dispatch", text=text, headers={"Idempotency-Key": key})
        except Refused as error:
            if error.code != "nothing-valid":
                raise
            answer = error.problem.document
        return parse(lambda document: _outcomes(document, count), answer)


def chunks(items: Iterable[BatchItem | Problem]) -> Iterator[list[str | Problem]]:
    """The items as JSON, grouped into requests; an item that is not JSON is replaced by a problem."""
    chunk: list[str | Problem] = []
    size = 0
    for item in items:
        text = _text(item)
        length = len(text) + 1 if isinstance(text, str) else len("null,")
        if chunk and (len(chunk) == MOST_ITEMS or size + length > MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(text)
        size += length
    if chunk:
        yield chunk


def _text(item: BatchItem | Problem) -> str | Problem:
    if isinstance(item, Problem):
        return item
    try:
        return to_json("The item", item)
    except BadValue as error:
        return Problem.bad_item(str(error))


def _outcomes(answer: Document, count: int) -> list[Outcome]:
    outcomes = [str(one["uuid"]) if "uuid" in one else Problem.of(one["problem"]) for one in answer["jobs"]]
    if len(outcomes) != count:
        raise ValueError(f"{count} items were sent, and {len(outcomes)} answers returned.")
    return outcomes
