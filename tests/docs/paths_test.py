"""The pages about the code name only files that exist, and their drawings can be parsed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "pacifica" / "dispatcher"
PAGES = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "architecture.md",
    *sorted((ROOT / "docs" / "internals").glob("*.md")),
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]
PLACEHOLDERS = {"build/screenshots/", "migrations/NNNN_description.py", "migrations/0001_….py"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_on_the_page_exist(page: Path) -> None:
    named = set(re.findall(r"`([\w./…-]+(?:\.py|/))`", page.read_text(encoding="utf-8"))) - PLACEHOLDERS
    assert [path for path in named if not ((PACKAGE / path).exists() or (ROOT / path).exists())] == []


def test_no_drawing_of_a_sequence_contains_a_semicolon() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawings = re.findall(r"```mermaid\nsequenceDiagram\n(.*?)```", page, re.DOTALL)
    assert drawings
    assert ";" not in "".join(drawings), "Mermaid ends a statement at a semicolon"
