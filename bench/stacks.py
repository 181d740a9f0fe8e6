"""What py-spy has seen of a process: shares of named parts and of functions, from its stacks."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

ELSE = "else"
SQLITE = "SQLite"
PEEWEE = "PeeWee"
OURS = "pacifica/dispatcher/"
PARTS: Mapping[str, tuple[str, ...]] = {
    "gunicorn": ("gunicorn/",),
    "CherryPy": ("cherrypy/", "cheroot/"),
    "our web": (f"{OURS}web/", f"{OURS}rest.py", f"{OURS}wsgi.py"),
    "our store": (f"{OURS}store/", f"{OURS}orm.py", f"{OURS}dialect.py"),
    "ours, the rest": (OURS,),
    PEEWEE: ("peewee.py", "playhouse/"),
    SQLITE: (),
    "kombu, amqp": ("kombu/", "amqp/", "vine/"),
    "Celery": ("celery/",),
    "billiard": ("billiard/",),
}
"""How the files of each begin; the first one that fits has it."""
STATEMENTS = {PEEWEE: {"_execute_cursor", "begin", "commit", "rollback"}, "our store": {"_Cursor.execute"}}
"""Functions that do little but call SQLite, which is C and has no frame of its own."""
FRAME = re.compile(r"(?P<function>.*) \((?P<file>.*?)(?::(?P<line>\d+))?\)")
LIBRARY = re.compile(r".*/(?:site-packages|lib/python3\.\d+)/|.*/(?=pacifica/dispatcher/)")


class Frame(NamedTuple):
    """A function; ``file`` begins with its package, ``place`` has the line at which it begins, too."""

    function: str
    file: str
    place: str

    def __str__(self) -> str:
        return f"{self.function} ({self.place})"


Stacks = Sequence[tuple[tuple[Frame, ...], int]]
"""Frames from the outermost to the innermost, and how often they were seen."""


def read(raw: str) -> Stacks:
    """What ``py-spy record --format raw --full-filenames`` has written."""
    found = []
    for line in raw.splitlines():
        frames, _, number = line.rpartition(" ")
        if frames and number.isdigit():
            found.append((tuple(map(_frame, frames.split(";"))), int(number)))
    return found


def part(frame: Frame) -> str:
    """Whose it is."""
    return next((name for name, begins in PARTS.items() if frame.file.startswith(begins)), ELSE)


def own_parts(stacks: Stacks) -> dict[str, float]:
    """Per cent of all samples by the innermost part, which is also charged with what it has the library do."""
    return _shares(stacks, lambda frames: [next(_innermost(frames), ELSE)])


def all_parts(stacks: Stacks) -> dict[str, float]:
    """Per cent of all samples in which the part was anywhere in the stack."""
    return _shares(stacks, lambda frames: set(_innermost(frames)) or [ELSE])


def own_functions(stacks: Stacks) -> dict[str, float]:
    """Per cent of all samples in which the function was the innermost."""
    return _shares(stacks, lambda frames: [str(frames[-1])])


def all_functions(stacks: Stacks) -> dict[str, float]:
    """Per cent of all samples in which the function was anywhere in the stack."""
    return _shares(stacks, lambda frames: set(map(str, frames)))


def samples(stacks: Stacks) -> int:
    """How many there are."""
    return sum(number for _, number in stacks)


def table(title: str, functions: Iterable[tuple[str, float, float]]) -> str:
    """Functions with their own per cent and that with all that they call, as text."""
    lines = [title, "", f"{'own %':>7}{'all %':>8}  function"]
    return "\n".join([*lines, *(f"{own:7.1f}{whole:8.1f}  {name}" for name, own, whole in functions), ""])


def _innermost(frames: Sequence[Frame]) -> Iterator[str]:
    """The named parts of a stack, from the innermost."""
    last = frames[-1].function
    if {last, last.rpartition(".")[2]} & STATEMENTS.get(part(frames[-1]), set()):
        yield SQLITE
    for frame in reversed(frames):
        if (name := part(frame)) != ELSE:
            yield name


def _shares(stacks: Stacks, of: Callable[[Sequence[Frame]], Iterable[str]]) -> dict[str, float]:
    found: Counter[str] = Counter()
    for frames, number in stacks:
        for name in of(frames):
            found[name] += number
    every = samples(stacks)
    return {name: 100 * number / every for name, number in found.most_common()}


def _frame(text: str) -> Frame:
    told = FRAME.fullmatch(text)
    if told is None:
        return Frame(text, "", "")
    file = LIBRARY.sub("", told["file"])
    file = file.rpartition("/")[2] if file.startswith("/") else file
    return Frame(told["function"], file, f"{file}:{told['line']}" if told["line"] else file)
