"""Many jobs, sent in requests of a bounded size: each can be sent again, and the same items are the same jobs."""

import time
from collections.abc import Iterable, Iterator

from .connection import PASSING, Connection
from .errors import BadValue, Refused
from .outgoing import json_of
from .values import BatchItem, Document, Problem, read

MOST_ITEMS = 1000
"""Items of one request; the service takes 10,000 unless told otherwise."""
MOST_BYTES = 1_048_576
"""Bytes of one request, as long as it has several items; the service takes 16 MiB unless told otherwise."""
LONGEST_KEY = 240
"""Characters of a key for the whole batch, so that there is room for the number of an item."""
Outcome = str | Problem
"""The UUID of an item's job, or why there is none."""


class Batch:
    """The requests of one batch.

    The request that begins with item ``n`` has the key ``<key>-<n>``, so what a run before has sent is found again,
    as long as the items are the same. An item that cannot be sent is sent as ``null``, so that it keeps its place.
    """

    def __init__(self, connection: Connection, key: str) -> None:
        if len(key) > LONGEST_KEY:
            raise BadValue(f"The key of a batch has at most {LONGEST_KEY} characters; this one has {len(key)}.")
        self._connection = connection
        self._key = key

    def outcomes(self, items: Iterable[BatchItem | Problem]) -> Iterator[Outcome]:
        """One for each item, in order, as soon as its request is answered."""
        first = 1
        for chunk in chunks(items):
            yield from self._request(first, chunk)
            first += len(chunk)

    def _request(self, first: int, chunk: list[str | Problem]) -> Iterator[Outcome]:
        try:
            found = self._send(f"{self._key}-{first}", chunk)
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
        for item, outcome in zip(chunk, found, strict=True):
            yield item if isinstance(item, Problem) else outcome

    def _send(self, key: str, chunk: list[str | Problem]) -> list[Outcome]:
        """Sent again for the items that a failing database did not take; the others are found by their key."""
        text = "[{}]".format(",".join("null" if isinstance(item, Problem) else item for item in chunk))
        for pause in self._connection.retries.pauses():
            found = self._once(key, text, len(chunk))
            if not any(isinstance(one, Problem) and one.status in PASSING for one in found):
                return found
            time.sleep(pause)
        return self._once(key, text, len(chunk))

    def _once(self, key: str, text: str, count: int) -> list[Outcome]:
        try:
            answer = self._connection.json("POST", "/dispatch", text=text, headers={"Idempotency-Key": key})
        except Refused as error:
            if error.code != "nothing-valid":
                raise
            answer = error.problem.document
        return read(lambda told: _outcomes(told, count), answer)


def chunks(items: Iterable[BatchItem | Problem]) -> Iterator[list[str | Problem]]:
    """The items as JSON, by the request that they belong to; one that is not JSON becomes the problem that it is."""
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
        return json_of("The item", item)
    except BadValue as error:
        return Problem.bad_item(str(error))


def _outcomes(answer: Document, count: int) -> list[Outcome]:
    found = [str(one["uuid"]) if "uuid" in one else Problem.of(one["problem"]) for one in answer["jobs"]]
    if len(found) != count:
        raise ValueError(f"There are {count} items, and {len(found)} answers.")
    return found
