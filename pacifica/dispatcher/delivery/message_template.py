"""Messages that differ in a few words are made from one of them: a stencil, in which these words are left open."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from ..core.job import OutboxEntry

UUIDS = 3
"""How often a message names its job: as its id, as the root of its workflow, and as what an answer is about."""
LIMIT = 500
"""Stencils that are kept at most: a client that names its requests has one for each length of name."""


class Stencil:
    """A message with open places; a word that is put there must be as long as the one that it replaces."""

    def __init__(self, form: bytes, places: Sequence[int]) -> None:
        self._form = form
        self._pick: Callable[[Sequence[bytes]], tuple[bytes, ...]] = itemgetter(*places)

    def fill(self, words: Sequence[bytes]) -> bytes:
        """The message of these words, which come in the order in which the stencil was given its own."""
        return self._form % self._pick(words)


class Stencils:
    """Whatever messages are made from, by their kind, and good for as long as those of a kind go the same way."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[Mapping[str, Any], Any]] = {}

    def find(self, kind: Hashable, route: Mapping[str, Any]) -> Any | None:
        """The stencil of messages of this kind, if they go this way."""
        way, found = self._kept.get(kind, (None, None))
        return found if way == route else None

    def keep(self, kind: Hashable, route: Mapping[str, Any], stencil: Any | None) -> None:
        """Have the next messages of this kind made from it, where there is one."""
        if stencil is not None:
            if len(self._kept) >= LIMIT:
                self._kept.clear()
            self._kept[kind] = route, stencil


def likeness(job: OutboxEntry, own: Sequence[str]) -> tuple[Hashable, Sequence[bytes]]:
    """The kind of a job's message, which those share that differ in words of the same lengths, and its words.

    ``own`` are the headers that are words. A job that is part of a workflow, or expires, has no kind: ``None``.
    """
    kept = job.headers or {}
    told = [name for name in own if name in kept]
    words = [_octets(job.uuid), *(_octets(kept[name]) for name in told)]
    if len(told) < len(kept) or job.expires is not None:
        return None, words
    return (job.task, job.queue, job.priority, job.retries, *told, *map(len, words)), words


def _octets(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")  # As py-amqp writes it.


def cut(message: bytes, words: Sequence[bytes]) -> Stencil | None:
    """Leave the words of a message open: its job's UUID, and others that it says once.

    ``None`` where a word is somewhere else as well, which may happen to one that a client chose.
    """
    if [message.count(word) for word in words] != [UUIDS, *(1 for _ in words[1:])]:
        return None
    pieces = re.split(b"(" + b"|".join(map(re.escape, words)) + b")", message)
    form = b"%s".join(piece.replace(b"%", b"%%") for piece in pieces[::2])
    return Stencil(form, [words.index(piece) for piece in pieces[1::2]])
