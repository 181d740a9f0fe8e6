"""The shape of the code base: no import cycles, one meaning for each name, small functions and modules."""

import ast
import statistics
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "pacifica" / "dispatcher"
MODULES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
LONGEST_MODULE = 350
LONGEST_FUNCTION, MEDIAN_FUNCTION, P90_FUNCTION = 45, 6, 18

TABLES = ("orm.py", "migrations/")
"""A model and a migration's copy of it are named for the value whose table they describe."""
SAME_MEANING = {
    "batch.py": "a batch of jobs, in the client and in its command",
    "connection.py": "a connection: of the client to the server, of kombu's transport to the database",
    "errors.py": "the tree of errors: of the product, and of the client",
    "events.py": "the history of jobs: its command and its SQL",
    "purge.py": "the purge: its command and its SQL",
    "search.py": "the search: its command and its SQL",
    "tasks.py": "tasks: the entry point of their workers, and the command that lists them",
    "tokens.py": "bearer tokens: their verbs and their SQL",
}
"""Basenames that occur twice and mean one thing, as one verb has one name in all layers."""


def name_of(path: Path) -> str:
    """A module's name below the package, with dots."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts).removesuffix("__init__").rstrip(".")


NAMES = {name_of(path) for path in MODULES}


def imports_of(path: Path) -> Iterator[str]:
    """The modules of the package that a module imports, inside functions too."""
    package = list(path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(MODULES[path]):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
        for alias in node.names:
            full = ".".join([*base, alias.name])
            yield full if full in NAMES else ".".join(base)


def functions() -> Iterator[tuple[str, int]]:
    """Every function with its number of lines."""
    for path, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name_of(path)}.{node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name_of(path): set(imports_of(path)) - {name_of(path), ""} for path in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from error


def test_no_two_classes_share_a_name() -> None:
    places = defaultdict(list)
    for path, tree in MODULES.items():
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith(TABLES):
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(place)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_two_modules_share_a_basename_with_different_meanings() -> None:
    places = defaultdict(list)
    for path in MODULES:
        if path.name != "__init__.py":
            places[path.name].append(path.relative_to(PACKAGE).as_posix())
    assert {name for name, found in places.items() if len(found) > 1} == set(SAME_MEANING)


def test_modules_and_functions_are_small() -> None:
    modules = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in modules.items() if lines > LONGEST_MODULE} == {}
    sizes = sorted(size for _, size in functions())
    assert statistics.median(sizes) <= MEDIAN_FUNCTION
    assert sizes[len(sizes) * 9 // 10] <= P90_FUNCTION
    assert [(name, size) for name, size in functions() if size > LONGEST_FUNCTION] == []
