"""Short texts of a job's values, for the cells of a table: one line each, and harmless to read."""

from typing import Any

from ..core.control_characters import one_line
from ..core.job import Job, State
from ..core.strict_json import JsonText, pretty

LONGEST = 160
"""The most characters of a cell; the page of the job shows the whole value."""


def shortened(text: str, longest: int = LONGEST) -> str:
    """The first characters of a text on one line."""
    flat = one_line(" ".join(text[: 4 * longest].split()))
    return flat if len(flat) <= longest and len(text) <= 4 * longest else flat[: longest - 1] + "…"


def value(given: Any) -> str:
    """A string as it is, any other value as JSON."""
    if isinstance(given, str):
        return shortened(given)
    return shortened(given.text if isinstance(given, JsonText) else pretty(given).decode())


def arguments(job: Job) -> str:
    """The arguments as in a call, such as ``2, unit="s"``."""
    if isinstance(job.args, JsonText) or isinstance(job.kwargs, JsonText):
        return ", ".join(value(part) for part in (job.args, job.kwargs) if part)
    parts: list[str] = []
    for name, given in [*(("", each) for each in job.args), *job.kwargs.items()]:
        if sum(map(len, parts)) > LONGEST:
            break
        parts.append((f"{name}=" if name else "") + pretty(given).decode().strip())
    return shortened(", ".join(parts))


def outcome(job: Job) -> str:
    """The result, the error or the last progress; empty if there is nothing to show yet."""
    if job.state is State.SUCCESS:
        return value(job.result)
    if job.error is not None:
        kind = "" if job.state is State.REVOKED else f"{job.error.type}: "
        return shortened(f"{kind}{job.error.message}")
    if job.cancel and not job.final:
        return "being cancelled"
    return "" if job.final or job.progress is None else _progress(job.progress)


def share(job: Job) -> int | None:
    """The last progress of a job that has not ended, in percent; ``None`` if it is not known."""
    report = None if job.final or isinstance(job.progress, JsonText) else job.progress
    if not report or not report.get("total"):
        return None
    percent: int = round(100 * report["current"] / report["total"])
    return min(100, percent)


def _progress(report: Any) -> str:
    if isinstance(report, JsonText):
        return ""
    current, total = report.get("current"), report.get("total")
    share = f"{100 * current / total:.0f} %" if total else str(current)
    return shortened(f"{share} {report.get('message') or ''}")


def labels(job: Job) -> list[tuple[str, str]]:
    """Each label, such as ``run=17``, and as the value of its filter."""
    return [(shortened(f"{name}={text}"), f"{name}:{text}") for name, text in (job.labels or {}).items()]
