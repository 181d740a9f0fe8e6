"""What ``doctor`` finds: one value for each stage, printed as it comes."""

import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import click

from ...exit_codes import Exit

WIDTH = 13
"""Characters of the longest name of a stage."""


class Verdict(StrEnum):
    """How a stage is."""

    OK = "ok"
    REMARK = "remark"
    FAILED = "failed"
    SKIPPED = "not looked at"


MARKS = {
    Verdict.OK: ("✓", "ok", "green"),
    Verdict.REMARK: ("!", "!!", "yellow"),
    Verdict.FAILED: ("✗", "NO", "red"),
    Verdict.SKIPPED: ("·", "--", None),
}
"""For a terminal with these characters, for one without, and the colour."""


@dataclass(frozen=True)
class Finding:
    """One stage: what was seen, how long it took, and for one that failed what to do, in a sentence."""

    stage: str
    verdict: Verdict
    told: str
    seconds: float | None = None
    advice: str = ""
    ending: Exit = Exit.SUCCESS

    def as_json(self) -> dict[str, Any]:
        """For programs; the time is in milliseconds."""
        ms = None if self.seconds is None else round(self.seconds * 1000, 1)
        return {
            "stage": self.stage,
            "verdict": self.verdict.value,
            "told": self.told,
            "ms": ms,
            "advice": self.advice or None,
        }


def good(stage: str, told: str, seconds: float | None = None) -> Finding:
    """A stage that is as it should be."""
    return Finding(stage, Verdict.OK, told, seconds)


def remark(stage: str, told: str, advice: str) -> Finding:
    """A stage that is not as the configuration says, and harms nobody now."""
    return Finding(stage, Verdict.REMARK, told, None, advice)


def bad(stage: str, told: str, advice: str, ending: Exit = Exit.FAILED) -> Finding:
    """A stage that failed."""
    return Finding(stage, Verdict.FAILED, told, None, advice, ending)


def skipped(stage: str, why: str) -> Finding:
    """A stage that cannot be looked at from here, or after an earlier one."""
    return Finding(stage, Verdict.SKIPPED, f"not looked at: {why}")


def show(finding: Finding) -> None:
    """One line, and for a stage that failed one more; at once, as the next may take its time."""
    fine, plain, colour = MARKS[finding.verdict]
    mark = click.style(fine if _can_show(fine) else plain, fg=colour)
    click.echo(f"{mark} {finding.stage:{WIDTH}}{_took(finding.seconds):>9}  {_shown(finding.told)}")
    if finding.advice:
        arrow = "→" if _can_show("→") else "->"
        click.echo(_folded(f"  {arrow} {_shown(finding.advice)}"))


def _took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    ms = seconds * 1000
    return f"{ms:.1f} ms" if ms < 10 else f"{ms:.0f} ms"


def _folded(text: str) -> str:
    """At the words of a terminal's line; a pipe gets the whole on one."""
    if not sys.stdout.isatty():
        return text
    return click.wrap_text(text.strip(), shutil.get_terminal_size().columns, "  ", "    ")


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _shown(text: str) -> str:
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)
