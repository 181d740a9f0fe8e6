"""The events of a job in words."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..core.job import Event, State
from ..store import committed_event as kinds
from .one_line import shortened
from .rendering import MARKS

Data = Mapping[str, Any]
LONGEST_DETAIL = 300
"""The most characters of a detail; the page shows the whole error elsewhere."""


class HistoryLine(NamedTuple):
    """An event: the seconds since the job was created, its words and its detail; ``due`` is a time in the detail.

    ``state`` is the state that it led to, or empty.
    """

    at: int
    since: float
    state: str
    mark: str
    words: str
    detail: str
    due: int | None


def line_of(event: Event, created: int) -> HistoryLine:
    """The line of an event; one of an unknown kind has its kind as its words."""
    describe = _WORDS.get(event.kind)
    words, detail = (event.kind, "") if describe is None else describe(event.data)
    due = event.data.get("eta") if event.kind == State.RETRY else None
    since = (event.at - created) / 1_000_000
    return HistoryLine(
        event.at,
        since,
        event.kind.lower() if event.kind in MARKS else "",
        MARKS.get(event.kind, "·"),
        words,
        shortened(detail, LONGEST_DETAIL),
        due,
    )


def _accepted(data: Data) -> tuple[str, str]:
    if data.get("origin") != "message":
        return "accepted, waits for a worker", ""
    return "received as a Celery message", "which was delivered before" if data.get("redelivered") else ""


def _started(data: Data) -> tuple[str, str]:
    return f"attempt {data.get('attempt', '?')} started", data.get("worker") or ""


def _fault(words: str) -> Callable[[Data], tuple[str, str]]:
    def describe(data: Data) -> tuple[str, str]:
        reason = f"{data['type']}: {data.get('message', '')}" if "type" in data else data.get("reason") or ""
        return words, f"{reason} ({data['at']})" if data.get("at") else reason

    return describe


def _progress(data: Data) -> tuple[str, str]:
    total = data.get("total")
    of = "" if total is None else f" of {total:g}"
    return f"progress: {data.get('current', 0):g}{of}", data.get("message") or ""


_WORDS: Mapping[str, Callable[[Data], tuple[str, str]]] = {
    State.PENDING: _accepted,
    State.STARTED: _started,
    State.RETRY: _fault("the task asked to run again"),
    State.SUCCESS: lambda _: ("ended with a result", ""),
    State.FAILURE: _fault("failed"),
    State.REVOKED: _fault("ended without a result"),
    kinds.CANCEL: lambda _: ("its worker was asked to stop it", ""),
    kinds.LOST: _fault("put back, because its worker was lost"),
    kinds.RETURNED: lambda _: ("given back by a worker that had not begun it", ""),
    kinds.DROPPED: lambda data: (
        "a message had no effect, because the job was not waiting",
        data.get("worker") or "",
    ),
    kinds.LATE: lambda data: ("a report came too late and had no effect", str(data.get("report") or "")),
    kinds.PROGRESS: _progress,
    kinds.REPLACED: lambda data: ("its task was replaced by another one", str(data.get("task") or "")),
    kinds.RESULT_AS_TEXT: _fault("its result was stored as text"),
    kinds.REFUSED: _fault("the broker did not accept its message"),
    kinds.LACKS_TASK: lambda data: (f"a worker has no task {data.get('task', '')}", data.get("worker") or ""),
}
