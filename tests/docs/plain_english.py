"""The words that no docstring, comment, message or page may contain, and where they occur.

``python -m tests.docs.plain_english [PATH …]`` lists the occurrences below the paths (default: everything).
Text in backticks, double quotation marks and fenced code blocks is quoted, and not checked in a page.
"""

import io
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
PYTHON = ("pacifica", "tests", "bench", "examples")
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs", "bench/README.md", ".github")
TEXTS = ("config.ini", "server.conf", "Makefile", "docker-compose.yml", "pyproject.toml")
SKIPPED = re.compile(r"(^|/)(\.venv[^/]*|results|__pycache__)(/|$)|tests/docs/plain_english")

WORDS: dict[str, str] = {
    r"\b(?:tell|tells|told|telling)\b": "say, log, return, report, notify or show",
    r"\banew\b": "again",
    r"\bmend(?:s|ed|ing)?\b": "fix or repair",
    r"\bnobody\b": "no one, or name the subject",
    r"\b[Ww]hoever\b": "name the agent: the caller, the client, the process",
    r"\bhow-manieth\b": "number",
    r"(?<![Tt]here )\b(?:is|are) none\b": "is not a …",
    r"(?:^|[.:;] +)Who (?![^.]*\?)": "name the agent: the caller, the client, the process",
    r"\bwho is not\b|\bby who\b|\bfor who\b|\bof who\b": "name the agent",
    r"(?:^|[.:;] +)What (?![^.]*\?)": "start with the noun: the value, the settings, the rows",
    r"\bfor ever\b": "forever",
    r"\bas ever\b": "as usual",
    r"\bthought of\b": "Unhandled exception while …",
    r"\brather too much\b": "err on the side of",
    r"\bbehind (?:the|that|its|this) (?:job|event|cursor|row|place|page)\b": "after",
}
NAMES = re.compile(r"(?:^|_)(?:told|tell|tells|anew|mend|whoever|nobody)(?:_|$)", re.IGNORECASE)
"""Parts of identifiers that are not the field's terms."""


class Hit(NamedTuple):
    """One occurrence."""

    path: str
    line: int
    text: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text!r}: write {self.instead}"


def occurrences(paths: Sequence[str] = ()) -> list[Hit]:
    """Every forbidden word below the paths, relative to the project's root."""
    chosen = [ROOT / path for path in (paths or (*PYTHON, *PAGES, *TEXTS))]
    return [hit for path in chosen for file in _files(path) for hit in _in_file(file)]


def _files(path: Path) -> Iterator[Path]:
    found = sorted(path.rglob("*")) if path.is_dir() else [path] if path.is_file() else []
    for file in found:
        name = file.relative_to(ROOT).as_posix()
        if file.is_file() and not SKIPPED.search(name) and (file.suffix in {".py", ".md", ".yml"} or name in TEXTS):
            yield file


def _in_file(file: Path) -> Iterator[Hit]:
    name, text = file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        yield from _in_python(name, text)
        return
    comments = file.suffix != ".md"
    for number, line in _prose(text):
        if not comments or "#" in line:
            yield from _in_text(name, number, line.lstrip("# ") if comments else line)


def _in_python(name: str, text: str) -> Iterator[Hit]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield from _in_text(name, token.start[0], token.string.lstrip("# "))
        elif token.type == tokenize.STRING:
            for offset, line in enumerate(_bare(token.string).split("\n")):
                yield from _in_text(name, token.start[0] + offset, line.strip())
        elif token.type == tokenize.NAME and NAMES.search(token.string):
            yield Hit(name, token.start[0], token.string, "a name of the field")


def _bare(literal: str) -> str:
    """A string literal without its prefix, quotes and quoted parts."""
    text = re.sub(r"""^[a-zA-Z]*(\"{3}|'{3}|"|')(.*)\1$""", r"\2", literal, flags=re.DOTALL)
    return re.sub(r"``[^`]*``", lambda found: "\n" * found.group().count("\n") + "``", text)


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """The numbered lines of a page that are no code."""
    fenced = False
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, re.sub(r"`[^`]*`", "``", line)


def _in_text(name: str, number: int, line: str) -> Iterator[Hit]:
    plain = re.sub(r'"[^"]*"|“[^”]*”', '""', line)
    for pattern, instead in WORDS.items():
        if found := re.search(pattern, plain):
            yield Hit(name, number, found.group().strip(" .:;"), instead)


if __name__ == "__main__":
    hits = occurrences(sys.argv[1:])
    sys.stdout.write("".join(f"{hit}\n" for hit in hits))
    sys.exit(bool(hits))
