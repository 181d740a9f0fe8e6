"""The jobs that a file asks for: NDJSON or CSV, line by line, however long the file is."""

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
from .exit_codes import Refused
from .option_values import merged

NOT_UTF8 = re.compile("[\udc80-\udcff]")
"""What ``surrogateescape`` makes of a byte that is none."""


class Line(NamedTuple):
    """A line of the file that is a job, or the problem that keeps it from being one."""

    number: int
    item: BatchItem | Problem


@dataclass(frozen=True, slots=True)
class Defaults:
    """What all lines have in common: a line's own task, options and labels win."""

    task: str | None
    options: Options

    def item(self, given: Mapping[str, Any]) -> BatchItem | Problem:
        """The job of a line; its members are the service's to judge."""
        if "task" not in given and self.task is None:
            return Problem.bad_item('The line names no task; say it in "task", or with --task.')
        options = given.get("options", {})
        both = merged(self.options, options) if isinstance(options, dict) else options
        return cast("BatchItem", {"task": self.task, **given, **({"options": both} if both else {})})


def ndjson(source: Iterable[bytes], defaults: Defaults) -> Iterator[Line]:
    """A JSON object a line, as ``POST /dispatch`` takes them; empty lines count as lines, and for nothing else."""
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        try:
            given = strict_json.loads(line)
        except ValueError as error:
            yield Line(number, Problem.bad_item(f"The line is not JSON: {error}."))
            continue
        if isinstance(given, dict):
            yield Line(number, defaults.item(given))
        else:
            yield Line(number, Problem.bad_item("The line is not a JSON object."))


def comma_separated(source: Iterable[str], defaults: Defaults, schema: Mapping[str, Any]) -> Iterator[Line]:
    """A job a row: the first row names the arguments, and each value is read as in a URL; an empty one is left out."""
    rows = _rows(source)
    first = next(rows, None)
    if first is None:
        return
    header = _header(*first)
    for number, row in rows:
        yield Line(number, row if isinstance(row, Problem) else _item(header, row, defaults, schema))


def _rows(source: Iterable[str]) -> Iterator[tuple[int, Sequence[str] | Problem]]:
    """Each record that is not empty, with the number of the line that it begins with."""
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
    """The names of the arguments; each must be there once, so that no value takes the place of another."""
    if isinstance(names, Problem):
        raise Refused(f"Line {number} is to name the arguments. {names.detail}")
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise Refused(
            f"Line {number} names {', '.join(map(repr, twice))} more than once; give each column its own name."
        )
    if "" in names:
        place = names.index("") + 1
        raise Refused(f"Line {number} has no name for column {place}; a comma at the end of the line makes such a one.")
    return names


def _item(
    header: Sequence[str], row: Sequence[str], defaults: Defaults, schema: Mapping[str, Any]
) -> BatchItem | Problem:
    if len(row) != len(header):
        return Problem.bad_item(f"The line has {len(row)} values; the first line names {len(header)}.")
    texts = {name: text for name, text in zip(header, row, strict=True) if text}
    return defaults.item({"kwargs": dispatch_arguments.named(schema, texts)})


class Facts(NamedTuple):
    """What one look through a file tells: how many lines it has, and a key that is its own."""

    lines: int
    key: str


def facts(path: Path, defaults: Defaults) -> Facts:
    """The key is made of the file's absolute path, its content, and what all lines have in common."""
    common = strict_json.dumps([str(path.absolute()), defaults.task, defaults.options])
    count, last, digest = 0, b"\n", hashlib.sha256(common.encode())
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
            count += part.count(b"\n")
            last = part[-1:]
    return Facts(count + (last != b"\n"), f"file-{digest.hexdigest()[:40]}")
