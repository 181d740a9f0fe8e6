"""``text/event-stream`` as the HTML standard reads it (WHATWG, section 9.2.6)."""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """The block before an empty line: its data, or ``None`` without any, and what the stream has told so far.

    A browser dispatches nothing for a block without data, but remembers its id all the same.
    """

    data: str | None
    last_id: str
    retry: float | None


def messages(chunks: Iterable[bytes], last_id: str = "") -> Iterator[Message]:
    """The messages of a body, however it is cut into chunks; a block that the end cuts off counts for nothing.

    ``last_id`` is the id that counts until the body names one; ``retry`` is in seconds.
    """
    data: list[str] = []
    named, retry = last_id, None
    for line in lines(chunks):
        if not line:
            last_id = named
            yield Message("\n".join(data) if data else None, last_id, retry)
            data.clear()
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            named = value
        elif field == "retry" and value.isascii() and value.isdigit() and len(value) <= 9:
            retry = int(value) / 1000


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of UTF-8 text, each ended by CR LF, LF or CR, as soon as their end is there; not one that has none."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest, first, after_return = "", True, False
    for chunk in chunks:
        text = decoder.decode(chunk)
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        if after_return and text:
            text, after_return = text.removeprefix("\n"), False
        if text.endswith("\r"):
            after_return = True
        rest += text
        *whole, rest = rest.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        yield from whole
