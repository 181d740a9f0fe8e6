"""The forms in which a page shows a JSON value: a plot, a table, an image, a text, or a tree to unfold."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..core import strict_json
from ..core.strict_json import JsonText
from ..core.text_values import DECIMAL
from .value_plot import Plot, draw, plain, points_of

MOST_READ, MOST_PARTS = 1_048_576, 100_000
"""A large value is read for its page if its JSON has at most so many characters, lists and objects."""
MOST_TEXT = 4_194_304
"""A large value that is a single text, such as an image, is read if it has at most so many characters."""
FIRST = 2000
"""The characters of a large value, and of a long text within another value, that are shown."""
COPIED = 20_000
"""A value of at most so many characters is in the page as one text, too."""
MOST_ROWS, MOST_COLUMNS, LONGEST_CELL = 200, 20, 200
SHORT = 80
"""A text, or a list or object without parts of its own, of at most so many characters is shown on one line."""
MOST_NODES, MOST_CHILDREN, DEEPEST = 2000, 200, 30
"""The limits of a tree: of all its lines, of those of one part, and of parts within parts."""
FOLDED_BELOW = 2
"""Parts of a tree below this depth are folded."""
MOST_FIGURES, FEWEST_ITEMS = 6, 8
"""A tree has at most so many plots and tables, of lists with at least so many items."""
MAGIC = {"png": rb"\x89PNG\r\n\x1a\n", "jpeg": rb"\xff\xd8\xff", "gif": rb"GIF8[79]a", "webp": rb"RIFF[\s\S]{4}WEBP"}
"""The first bytes of the kinds of images that are shown."""
_DATA_URL = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,", re.IGNORECASE)
_TO_STANDARD = str.maketrans("-_", "+/")


class Image(NamedTuple):
    """An image: the address that holds all of it, its kind and the number of its bytes."""

    source: str
    kind: str
    size: int


class Cell(NamedTuple):
    text: str
    number: bool


class RecordTable(NamedTuple):
    """The first records of a list, and how many rows and columns it has altogether."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    all_rows: int
    all_columns: int


class Node(NamedTuple):
    """One line of a tree; ``more`` is the number of its parts that are not shown."""

    key: str
    kind: str
    text: str
    children: Sequence["Node"] = ()
    more: int = 0
    open: bool = False
    image: Image | None = None
    plot: Plot | None = None
    table: RecordTable | None = None

    @property
    def has_folded(self) -> bool:
        """Whether a part of it is folded."""
        return any(
            child.has_folded or bool(child.children or child.plot or child.table) > child.open
            for child in self.children
        )


@dataclass(frozen=True, slots=True)
class ValueView:
    """A value to be shown as its ``kind`` says; ``size`` is the length of its JSON text.

    ``text`` is the text to copy: empty if the value is too long for that. ``holds`` describes a value that is too
    large for its page.
    """

    kind: str
    size: int
    text: str = ""
    node: Node | None = None
    plot: Plot | None = None
    table: RecordTable | None = None
    image: Image | None = None
    holds: str = ""

    @property
    def cut(self) -> bool:
        """Whether the page has only a part of the value."""
        return self.size > COPIED or not self.text


def read(value: Any) -> Any:
    """The value of a large JSON text, unless it is too large for a page: it then stays a ``JsonText``."""
    if not isinstance(value, JsonText):
        return value
    text = value.text
    single = text.startswith('"')
    parts = 0 if single else text.count("[") + text.count("{")
    fits = len(text) <= (MOST_TEXT if single else MOST_READ) and parts <= MOST_PARTS
    return strict_json.loads(text) if fits else value


def view(value: Any) -> ValueView:
    """The form of a value; one that is too large for a page stays a text."""
    value = read(value)
    if isinstance(value, JsonText):
        kind = image_kind(value.text[1:100]) if value.text.startswith('"') else None
        holds = f"a {kind.upper()} image" if kind else ""
        return ValueView("large", len(value.text), value.text[:FIRST], holds=holds)
    if isinstance(value, str):
        return _of_text(value)
    return (
        _of_parts(value) if isinstance(value, list | dict) else ValueView("scalar", len(compact(value)), compact(value))
    )


def _of_parts(value: Any) -> ValueView:
    size = len(compact(value))
    text = pretty(value) if size <= COPIED else ""
    copied = text if len(text) <= COPIED else ""
    if (points := points_of(value)) is not None:
        return ValueView("plot", size, copied, plot=draw(points[0], pairs=points[1]))
    if (table := records_of(value)) is not None:
        return ValueView("table", size, copied, table=table)
    node = Tree().node("", value)
    if node.kind == "inline":
        return ValueView("scalar", size, node.text)
    return ValueView("tree", size, copied, node)


def pretty(value: Any) -> str:
    """A value on several lines; one that is nested too deeply for that on one, or not at all."""
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except RecursionError:
        return compact(value)


def compact(value: Any) -> str:
    """A value on one line; empty if it is nested too deeply to be written here."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return ""


def _of_text(value: str) -> ValueView:
    if _needs_quotes(value):
        return ValueView("scalar", len(compact(value)), compact(value))
    image = image_of(value)
    short = len(value) <= SHORT and value.isprintable() and value == value.strip()
    kind = "image" if image is not None else "scalar" if short else "text"
    return ValueView(kind, len(value), value[:COPIED], image=image)


def _needs_quotes(text: str) -> bool:
    """Whether a short text could not be seen, or would look like a number, ``true``, ``false`` or ``null``."""
    if len(text) > SHORT:
        return False
    return not text.strip() or text in {"true", "false", "null"} or DECIMAL.match(text) is not None


def image_of(text: str) -> Image | None:
    """The image in a data URL or in base64, recognised by its first bytes."""
    kind = image_kind(text)
    content = _decoded("".join(_coded(text).split())) if kind else None
    if kind is None or content is None:
        return None
    return Image(f"data:image/{kind};base64,{base64.b64encode(content).decode()}", kind, len(content))


def image_kind(text: str) -> str | None:
    """The kind of the image whose data URL or base64 begins with this text."""
    first = _decoded(_coded(text[:100])[:24])
    return next((name for name, magic in MAGIC.items() if first and re.match(magic, first)), None)


def _coded(text: str) -> str:
    start = _DATA_URL.match(text)
    return (text[start.end() :] if start else text).translate(_TO_STANDARD)


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def records_of(value: Any) -> RecordTable | None:
    """The table of a list of objects; ``None`` for any other value."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) and item for item in value):
        return None
    columns = list(dict.fromkeys(name for item in value for name in item))
    shown = columns[:MOST_COLUMNS]
    rows = [[_cell(item, name) for name in shown] for item in value[:MOST_ROWS]]
    return RecordTable(shown, rows, len(value), len(columns))


def _cell(record: Mapping[str, Any], name: str) -> Cell:
    if name not in record:
        return Cell("", number=False)
    value = record[name]
    text = value if isinstance(value, str) else plain(value) if isinstance(value, float) else compact(value)
    return Cell(_cut(text, LONGEST_CELL), isinstance(value, int | float) and not isinstance(value, bool))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _on_one_line(parts: Mapping[str, Any], kind: str) -> str | None:
    if len(parts) > SHORT // 2 or any(isinstance(item, list | dict) for item in parts.values()):
        return None
    text = compact(dict(parts) if kind == "object" else list(parts.values()))
    return text if len(text) <= SHORT else None


class Tree:
    """Makes the lines of a tree, at most ``MOST_NODES``."""

    def __init__(self) -> None:
        self._left = MOST_NODES
        self._figures = MOST_FIGURES

    def node(self, key: str, value: Any, depth: int = 0) -> Node:
        """The line of a value with those of its parts."""
        self._left -= 1
        if isinstance(value, dict):
            return self._branch(key, "object", value, depth)
        if isinstance(value, list):
            return self._figure(key, value, depth) or self._branch(
                key, "array", {str(place): item for place, item in enumerate(value)}, depth
            )
        if isinstance(value, str):
            return Node(key, "string", _cut(json.dumps(value, ensure_ascii=False), FIRST), image=image_of(value))
        return Node(key, "number" if isinstance(value, int | float) else "constant", compact(value))

    def _figure(self, key: str, value: Sequence[Any], depth: int) -> Node | None:
        """A plot or a table in place of the items of a list; ``None`` if neither fits, or there are enough of them."""
        if self._figures <= 0 or len(value) < FEWEST_ITEMS:
            return None
        found = points_of(value)
        plot = None if found is None else draw(found[0], pairs=found[1])
        table = None if plot is not None else records_of(value)
        if plot is None and table is None:
            return None
        self._figures -= 1
        return Node(key, "array", f"{len(value):,} items", open=depth < FOLDED_BELOW, plot=plot, table=table)

    def _branch(self, key: str, kind: str, parts: Mapping[str, Any], depth: int) -> Node:
        if (text := _on_one_line(parts, kind)) is not None:
            return Node(key, "inline", text)
        noun = {"object": ("member", "members"), "array": ("item", "items")}[kind][len(parts) != 1]
        children: list[Node] = []
        if depth < DEEPEST:
            for name, item in parts.items():
                if self._left <= 0 or len(children) == MOST_CHILDREN:
                    break
                children.append(self.node(name, item, depth + 1))
        more, unfolded = len(parts) - len(children), depth < FOLDED_BELOW and len(parts) <= 20
        return Node(key, kind, f"{len(parts):,} {noun}", children, more, unfolded)
