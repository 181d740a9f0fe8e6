"""The decisions on a worker's reports: what each of them changes, by the state of its job's row."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import peewee

from ..core.job import JobError, State
from ..core.work import Ended, LostReport, Report, RetriedReport, Returned
from . import mapping, transitions
from .committed_event import LATE, LOST, RESULT_AS_TEXT, RETURNED, CommittedEvent
from .lifecycle import CELERY_ERRORS, revoked

STARTED, PENDING, REVOKED = State.STARTED.value, State.PENDING.value, State.REVOKED.value
CANCELLED = "cancelled"


class ReportedRow(NamedTuple):
    """The columns of a job's row that decide about a report."""

    uuid: str
    state: str
    claim: str | None
    cancel: bool
    attempt: int
    retries: int
    max_attempts: int
    published: int | None


STATEMENTS: Mapping[str, peewee.Query] = {
    "finish": transitions.finish(transitions.BY_TOKEN),
    "retry": transitions.retry(),
    "put_back": transitions.put_back(),
    "give_back": transitions.give_back(),
}
"""The statements of decisions, by name."""


class Decision(NamedTuple):
    """The new ``state`` of the row, or ``None``: ``statement`` with its ``values`` makes the change.

    ``kind`` and ``data`` are those of the entry in the history, if there is to be one; ``event`` is for ``on_event``.
    ``outcome`` is ``None`` for a report that came too late. ``earlier`` precedes the entry in the history.
    """

    outcome: str | None
    event: CommittedEvent | None = None
    kind: str | None = None
    data: Mapping[str, Any] = {}
    state: str | None = None
    statement: str = ""
    values: Mapping[str, Any] = {}
    earlier: CommittedEvent | None = None

    @property
    def makes_due(self) -> bool:
        """Whether the job may be run again at once."""
        due = self.values.get({"put_back": "at", "give_back": "due", "retry": "eta"}.get(self.statement, ""))
        return due is not None and due <= self.values["at"]


def decide(report: Report, row: ReportedRow | None, *, again: bool) -> Decision:
    """The decision on a report; ``again`` as in ``WorkQueue.turn``."""
    current = row if row is not None and row.claim == report.token else None
    wanted = _wanted(report, current)
    if current is None or current.state not in {STARTED, wanted.state}:
        return _late(report, wanted, row)
    if current.state == STARTED:
        return wanted
    if not again and isinstance(report, LostReport | Returned):
        return Decision(None)
    return Decision(wanted.outcome, wanted.event)  # The same report again: the answer to the first one was lost.


def _wanted(report: Report, current: ReportedRow | None) -> Decision:
    """The decision on a report whose claim is that of the row ``current``."""
    if isinstance(report, Ended):
        return _end(report)
    if current is not None and (current.cancel or current.state == REVOKED):
        return _cancel(report)
    if isinstance(report, RetriedReport):
        return _retry(report)
    return _lose(report, current) if isinstance(report, LostReport) else _give_back(report, current)


def _decision(  # noqa: PLR0913, PLR0917 - the parts of a decision
    report: Report,
    kind: str,
    event: CommittedEvent,
    data: Mapping[str, Any],
    statement: str,
    values: Mapping[str, Any],
    state: str = "",
) -> Decision:
    """The decision that changes the row to the ``state``, which is the ``kind`` unless given."""
    state = state or kind
    given = {"state": state, "uuid": report.uuid, "token": report.token, "at": report.at, **values}
    return Decision(kind, event, kind, data, state, statement, given)


def _end(report: Ended) -> Decision:
    values = {"result": report.result, "error": mapping.error_to_text(report.error)}
    by_task = report.state != REVOKED
    event = CommittedEvent(
        report.state,
        report.uuid,
        report.at,
        report.token,
        reported=by_task,
        reason=None if by_task else report.data.get("reason"),
        error=report.error if by_task else None,
    )
    decision = _decision(report, report.state, event, report.data, "finish", values)
    if not report.as_text:
        return decision
    text = CommittedEvent(RESULT_AS_TEXT, report.uuid, report.at, report.token, reported=True, reason=report.as_text)
    return decision._replace(earlier=text)


def _cancel(report: Report) -> Decision:
    reason = report.reason if isinstance(report, LostReport) else CANCELLED
    event = CommittedEvent(REVOKED, report.uuid, report.at, report.token, reason=reason)
    if isinstance(report, RetriedReport):
        event = event._replace(reported=True, error=report.error, reason=None)
    return _decision(report, REVOKED, event, {"reason": reason}, "finish", revoked(CANCELLED))


def _retry(report: RetriedReport) -> Decision:
    retry = State.RETRY.value
    values = {
        **dict.fromkeys(transitions.CHANGED_BY_RETRY),
        **report.columns,
        "headers": mapping.to_text(report.columns.get("headers")),
        "eta": report.eta,
        "retries": report.retries,
        "args": report.args,
        "kwargs": report.kwargs,
        "error": mapping.error_to_text(report.error),
    }
    event = CommittedEvent(retry, report.uuid, report.at, report.token, reported=True, error=report.error)
    data = {**report.error.summary(), "eta": report.eta, "retries": report.retries}
    return _decision(report, retry, event, data, "retry", values)


def _lose(report: LostReport, row: ReportedRow | None) -> Decision:
    data = {"reason": report.reason}
    left = row is not None and row.attempt - row.retries < row.max_attempts
    kind = LOST if left else State.FAILURE.value
    event = CommittedEvent(kind, report.uuid, report.at, report.token, reason=report.reason)
    if left:
        return _decision(report, kind, event, data, "put_back", {}, PENDING)
    message = f"The job was lost in its last attempt: {report.reason.rstrip('.')}."
    error = mapping.error_to_text(JobError("WorkerLostError", message, module=CELERY_ERRORS))
    return _decision(report, kind, event, data, "finish", {"result": None, "error": error})


def _give_back(report: Returned, row: ReportedRow | None) -> Decision:
    published = row.published if row is not None and report.due is None else None
    event = CommittedEvent(RETURNED, report.uuid, report.at, report.token)
    values = {"due": report.due, "published": published}
    return _decision(report, RETURNED, event, {}, "give_back", values, PENDING)


def _late(report: Report, wanted: Decision, row: ReportedRow | None) -> Decision:
    if isinstance(report, LostReport | Returned):
        return Decision(None)
    reported = wanted.event is not None and wanted.event.reported
    event = CommittedEvent(LATE, report.uuid, report.at, report.token, reported)
    if row is None:
        return Decision(None, event)
    return Decision(None, event, LATE, {**wanted.data, "report": wanted.kind, "state": row.state})
