"""The page of guarantees names a test for each promise, and each of these tests exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", PAGE)))


def promises() -> list[tuple[str, str]]:
    """Return the first and the last cell of each row of the tables: the event and the proof."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")
    ]
    return [(row[0], row[-1]) for row in rows if row[-1] not in {"proven by", "---", "count", "---:"} and len(row) > 2]


def names_in(path: Path) -> set[str]:
    """Return the names of the test functions of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("named", NAMED)
def test_named_test_exists(named: str) -> None:
    path, _, name = named.partition("::")
    assert name, f"{path} is a file: which of its tests proves the promise?"
    assert name in names_in(ROOT / path)


def test_no_table_is_cut_by_an_empty_line() -> None:
    assert "|\n\n|" not in PAGE


@pytest.mark.parametrize(("promise", "proof"), promises())
def test_promise_names_a_test(promise: str, proof: str) -> None:
    assert re.search(r"`tests/[\w/]+\.py::\w+`", proof), promise
