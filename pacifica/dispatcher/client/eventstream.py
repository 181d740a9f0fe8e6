"""Parses ``text/event-stream`` as the HTML standard defines it (WHATWG, section 9.2.6)."""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """The block before an empty line: its data (``None`` without any), and the stream's last id and retry time.

    A browser dispatches no event for a block without data, but it remembers the block's id.
    """

    data: str | None
    last_id: str
    retry: float | None


def messages(chunks: Iterable[bytes], last_id: str = "") -> Iterator[StreamMessage]:
    """The messages of a body, however it is cut into chunks; an unfinished block at its end is dropped.

    ``last_id`` is the id until the body names one; ``retry`` is in seconds.
    """
    data: list[str] = []
    named, retry = last_id, None
    for line in lines(chunks):
        if not line:
            last_id = named
            yield StreamMessage("\n".join(data) if data else None, last_id, retry)
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
    """The lines of UTF-8 text that end with CR LF, LF or CR, each as soon as its end is there."""
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
