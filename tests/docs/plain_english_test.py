"""No docstring, comment, message, page or name contains a word of the list."""

from pathlib import Path

import pytest

from . import plain_english


def test_no_text_of_the_project_contains_a_listed_word() -> None:
    assert "\n".join(map(str, plain_english.occurrences())) == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", "The log tells which job it was.\n"),
        ("page.md", "It begins anew.\n"),
        ("module.py", '"""What is read from the file."""\n'),
        ("module.py", 'def run() -> None:\n    raise ValueError(f"the cursor is none")\n'),
        ("module.py", "x = 1  # nobody reads it\n"),
        ("module.py", "told = 1\n"),
    ],
)
def test_a_listed_word_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setattr(plain_english, "ROOT", tmp_path)
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert len(plain_english.occurrences([name])) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", "The field `told` is quoted, and so is “anew”.\n\n```\nnobody\n```\n"),
        ("page.md", "What does it cost? There is none.\n"),
        ("module.py", '"""Return ``told``."""\nintel = stellar = 1\n'),
    ],
)
def test_quoted_and_similar_words_are_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setattr(plain_english, "ROOT", tmp_path)
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert plain_english.occurrences([name]) == []
