"""Message templates: messages of a kind differ in a few words only, so each can be a copy of the first one."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from ..core.job import OutboxEntry

UUIDS = 3
"""How often a message contains its job's UUID: as its id, its workflow's root, and its correlation id."""
LIMIT = 500
"""The most templates that a cache keeps: a client that names its requests needs one for each length of name."""


class MessageTemplate:
    """A message with gaps; a word that fills a gap must be as long as the word that was there."""

    def __init__(self, form: bytes, order: Sequence[int]) -> None:
        self._form = form
        self._pick: Callable[[Sequence[bytes]], tuple[bytes, ...]] = itemgetter(*order)

    def fill(self, words: Sequence[bytes]) -> bytes:
        """The message with these words, in the order of those that ``make_template`` was given."""
        return self._form % self._pick(words)


class TemplateCache:
    """Templates by the kind of their message, each valid as long as messages of the kind have the same route."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[Mapping[str, Any], Any]] = {}

    def find(self, key: Hashable, route: Mapping[str, Any]) -> Any | None:
        """The template of this kind of message, if it was made for this route."""
        kept_route, template = self._kept.get(key, (None, None))
        return template if kept_route == route else None

    def keep(self, key: Hashable, route: Mapping[str, Any], template: Any | None) -> None:
        """Keep a template for the next messages of this kind; ``None`` is not kept."""
        if template is not None:
            if len(self._kept) >= LIMIT:
                self._kept.clear()
            self._kept[key] = route, template


def template_key(job: OutboxEntry, origin_headers: Sequence[str]) -> tuple[Hashable, Sequence[bytes]]:
    """The kind of a job's message, and the words in which it differs from others of the kind.

    The words are the UUID and the values of ``origin_headers``; they have the same lengths in all messages of a
    kind. The kind is ``None`` for a job that is part of a workflow, or expires.
    """
    headers = job.headers or {}
    present = [name for name in origin_headers if name in headers]
    words = [_encode(job.uuid), *(_encode(headers[name]) for name in present)]
    if len(present) < len(headers) or job.expires is not None:
        return None, words
    return (job.task, job.queue, job.priority, job.retries, *present, *map(len, words)), words


def _encode(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")  # As py-amqp writes it.


def make_template(message: bytes, words: Sequence[bytes]) -> MessageTemplate | None:
    """Replace the words of a message by gaps: the UUID of its job, and others that occur once.

    ``None`` if a word also occurs elsewhere, which can happen with a word that a client chose.
    """
    if [message.count(word) for word in words] != [UUIDS, *(1 for _ in words[1:])]:
        return None
    pieces = re.split(b"(" + b"|".join(map(re.escape, words)) + b")", message)
    form = b"%s".join(piece.replace(b"%", b"%%") for piece in pieces[::2])
    return MessageTemplate(form, [words.index(piece) for piece in pieces[1::2]])
