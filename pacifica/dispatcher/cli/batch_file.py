"""Reads the jobs in an NDJSON or CSV file line by line, so that the file may have any size."""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from ..client import BatchItem, Options, Problem
from ..core import strict_json
from . import dispatch_arguments
from .exit_codes import CommandRefused

NOT_UTF8 = re.compile("[\udc80-\udcff]")
"""The characters that ``surrogateescape`` makes of bytes that are not UTF-8."""


class FileLine(NamedTuple):
    """A line of the file as a job, or the problem with it."""

    number: int
    item: BatchItem | Problem


@dataclass(frozen=True, slots=True)
class Defaults:
    """The values that all lines share; a line's own task, options and labels take precedence."""

    task: str | None
    options: Options

    def item(self, given: Mapping[str, Any]) -> BatchItem | Problem:
        """The job of a line; the service validates its members."""
        if "task" not in given and self.task is None:
            return Problem.bad_item('The line names no task; name it in "task", or with --task.')
        options = given.get("options", {})
        both = dispatch_arguments.merged(self.options, options) if isinstance(options, dict) else options
        return cast("BatchItem", {"task": self.task, **given, **({"options": both} if both else {})})


def ndjson(source: Iterable[bytes], defaults: Defaults) -> Iterator[FileLine]:
    """Parse one JSON object per line, as ``POST /dispatch`` takes it; empty lines are skipped, but numbered."""
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        try:
            given = strict_json.loads(line, exact=True)
        except ValueError as error:
            yield FileLine(number, Problem.bad_item(f"The line is not JSON: {error}."))
            continue
        if isinstance(given, dict):
            yield FileLine(number, defaults.item(given))
        else:
            yield FileLine(number, Problem.bad_item("The line is not a JSON object."))


def comma_separated(source: Iterable[str], defaults: Defaults, schema: Mapping[str, Any]) -> Iterator[FileLine]:
    """Parse one job per row: the first row names the arguments, values are read as in a URL, empty ones left out."""
    rows = _rows(source)
    first = next(rows, None)
    if first is None:
        return
    header = _header(*first)
    for number, row in rows:
        yield FileLine(number, row if isinstance(row, Problem) else _item(header, row, defaults, schema))


def _rows(source: Iterable[str]) -> Iterator[tuple[int, Sequence[str] | Problem]]:
    """Each row that is not empty, with the number of its first line."""
    reader = csv.reader(source, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, Problem.bad_item(f"The line is not CSV: {error}.")
            continue
        if any(map(NOT_UTF8.search, row)):
            yield number, Problem.bad_item("The line is not UTF-8; save the file in that encoding.")
        elif row:
            yield number, row


def _header(number: int, names: Sequence[str] | Problem) -> Sequence[str]:
    """The names of the arguments; raises ``CommandRefused`` unless each occurs once, as values could be swapped."""
    if isinstance(names, Problem):
        raise CommandRefused(f"Line {number} must name the arguments. {names.detail}")
    repeated = [name for name, count in Counter(names).items() if name and count > 1]
    if repeated:
        raise CommandRefused(
            f"Line {number} names {', '.join(map(repr, repeated))} more than once; give each column its own name."
        )
    if "" in names:
        place = names.index("") + 1
        raise CommandRefused(f"Line {number} has no name for column {place}; name it, or remove the comma at the end.")
    return names


def _item(
    header: Sequence[str], row: Sequence[str], defaults: Defaults, schema: Mapping[str, Any]
) -> BatchItem | Problem:
    if len(row) != len(header):
        return Problem.bad_item(f"The number of values is {len(row)}, but the first line names {len(header)}.")
    texts = {name: text for name, text in zip(header, row, strict=True) if text}
    return defaults.item({"kwargs": dispatch_arguments.named(schema, texts)})


class FileFacts(NamedTuple):
    """The number of lines of a file, and the key that identifies it."""

    lines: int
    key: str


def facts(path: Path, defaults: Defaults) -> FileFacts:
    """Read the file once; its key depends on its absolute path, its content and the values that all lines share."""
    common = strict_json.dumps([str(path.absolute()), defaults.task, defaults.options])
    count, last, digest = 0, b"\n", hashlib.sha256(common.encode())
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
            count += part.count(b"\n")
            last = part[-1:]
    return FileFacts(count + (last != b"\n"), f"file-{digest.hexdigest()[:40]}")
