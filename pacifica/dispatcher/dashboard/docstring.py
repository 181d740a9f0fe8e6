"""The parts of a docstring: its text, and the descriptions of arguments as Sphinx and Google write them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

_FIELD = re.compile(r":param (?:[^:]*\s)?\*{0,2}(\w+):\s*(.*)")
_TYPE = re.compile(r":type \*{0,2}\w+:")
_SECTION = re.compile(r"(?:Args|Arguments|Parameters):\s*")
_ITEM = re.compile(r"\*{0,2}(\w+)(?: \([^)]*\))?:(?:\s+(.*)|$)")
_SENTENCE = re.compile(r"(.+?[.!?])(?=\s+[A-Z\"'(`]|\s*$)", re.DOTALL)


class Docstring(NamedTuple):
    """A docstring without the descriptions of arguments, and these by argument."""

    text: str
    arguments: Mapping[str, str]

    @property
    def first_sentence(self) -> str:
        """The first sentence on one line; at most the first paragraph."""
        paragraph = " ".join(self.text.partition("\n\n")[0].split())
        found = _SENTENCE.match(paragraph)
        return found[1] if found else paragraph

    @property
    def paragraphs(self) -> Sequence[str]:
        return [each for each in re.split(r"\n\s*\n", self.text) if each.strip()]


@lru_cache(maxsize=1024)
def parsed(doc: str) -> Docstring:
    """The parts of a docstring without its indentation."""
    kept: list[str] = []
    found: dict[str, str] = {}
    lines = doc.split("\n")
    while lines:
        line = lines.pop(0)
        if field := _FIELD.match(line):
            found[field[1]] = _joined([field[2], *_indented(lines)])
        elif _TYPE.match(line):
            list(_indented(lines))
        elif _SECTION.fullmatch(line) and (items := list(_items(lines))):
            found.update(items)
        else:
            kept.append(line)
    return Docstring("\n".join(kept).strip(), found)


def _items(lines: list[str]) -> Iterator[tuple[str, str]]:
    """The descriptions in a section; leaves the lines as they are if the section has a line of another form."""
    block = list(_indented(lines.copy()))
    depth = min((_depth(line) for line in block if line.strip()), default=0)
    starts = [place for place, line in enumerate(block) if line.strip() and _depth(line) == depth]
    items = [_ITEM.match(block[place].strip()) for place in starts]
    if not starts or not all(items):
        return
    del lines[: len(block)]
    for item, first, last in zip(items, starts, [*starts[1:], len(block)], strict=True):
        if item is not None:
            yield item[1], _joined([item[2] or "", *block[first + 1 : last]])


def _indented(lines: list[str]) -> Iterator[str]:
    """Remove the lines that belong to the line before them, because they are indented; with blank lines between."""
    while lines:
        follows = next((line for line in lines if line.strip()), "")
        if _depth(follows) == 0:
            return
        yield lines.pop(0)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _joined(lines: Sequence[str]) -> str:
    return " ".join(" ".join(lines).split())
