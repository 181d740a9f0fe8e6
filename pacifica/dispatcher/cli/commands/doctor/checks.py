"""The findings of ``doctor``: one for each stage, printed as soon as it is known."""

import shutil
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import click

from ....core.control_characters import one_line
from ...exit_codes import Exit

NO_STYLES: Mapping[str, str] = MappingProxyType({})
WIDTH = 13
"""The characters of the longest name of a stage."""


class StageVerdict(StrEnum):
    """The verdict on a stage."""

    OK = "ok"
    REMARK = "remark"
    FAILED = "failed"
    SKIPPED = "not checked"


MARKS = {
    StageVerdict.OK: ("✓", "ok", "green"),
    StageVerdict.REMARK: ("!", "!!", "yellow"),
    StageVerdict.FAILED: ("✗", "NO", "red"),
    StageVerdict.SKIPPED: ("·", "--", None),
}
"""The mark for a terminal that has the character, the mark for one that does not, and the colour."""


@dataclass(frozen=True)
class Finding:
    """One stage: what was seen, how long it took, and after a failure what to do, as a sentence."""

    stage: str
    verdict: StageVerdict
    message: str
    seconds: float | None = None
    advice: str = ""
    ending: Exit = Exit.SUCCESS

    def as_json(self) -> dict[str, Any]:
        """The finding for programs; its time is in milliseconds."""
        ms = None if self.seconds is None else round(self.seconds * 1000, 1)
        return {
            "stage": self.stage,
            "verdict": self.verdict.value,
            "message": self.message,
            "ms": ms,
            "advice": self.advice or None,
        }


def good(stage: str, message: str, seconds: float | None = None) -> Finding:
    """A stage that is in order."""
    return Finding(stage, StageVerdict.OK, message, seconds)


def bad(stage: str, message: str, advice: str, ending: Exit = Exit.FAILED) -> Finding:
    """A stage that failed."""
    return Finding(stage, StageVerdict.FAILED, message, None, advice, ending)


def skipped(stage: str, reason: str) -> Finding:
    """A stage that cannot be checked."""
    return Finding(stage, StageVerdict.SKIPPED, f"not checked: {reason}")


def show(finding: Finding) -> None:
    """Print one line, and another one for the advice."""
    sign, colour = mark(finding.verdict)
    message = encodable(finding.message)
    click.echo(f"{click.style(sign, fg=colour)} {finding.stage:{WIDTH}}{_time(finding.seconds):>9}  {message}")
    if finding.advice:
        print_folded(f"  {arrow()} {finding.advice}", "    ")


def mark(verdict: StageVerdict) -> tuple[str, str | None]:
    """The mark that this terminal can show, and its colour."""
    fine, plain, colour = MARKS[verdict]
    return (fine if _can_encode(fine) else plain), colour


def arrow() -> str:
    """The sign before an advice."""
    return "→" if _can_encode("→") else "->"


def print_folded(text: str, indent: str = "", styled: Mapping[str, str] = NO_STYLES) -> None:
    """Print a text; a terminal gets it wrapped to its width, with ``indent`` before each line but the first.

    ``styled`` has the form in which the first occurrence of a word is shown.
    """
    text = encodable(text)
    if sys.stdout.isatty():
        columns = max(40, shutil.get_terminal_size().columns)
        text = textwrap.fill(text, columns, subsequent_indent=indent, break_on_hyphens=False)
    for word, form in styled.items():
        text = text.replace(word, form, 1)
    click.echo(text)


def encodable(text: str) -> str:
    """The text on one line, with escapes for characters that the output cannot have."""
    encoding, text = sys.stdout.encoding or "ascii", one_line(text)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    ms = seconds * 1000
    return f"{ms:.1f} ms" if ms < 10 else f"{ms:.0f} ms"


def _can_encode(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
