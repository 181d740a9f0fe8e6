"""A job whose task has replaced itself: its row waits for the replacement, which takes it over under the same id.

A vacated row is PENDING, and ``holder`` is ``VACANT``. Its count of retries is one higher, so that the message of the
attempt that replaced the task claims nothing if it is delivered again.
"""

from collections.abc import Mapping
from typing import Any

import peewee

from .. import orm
from ..core.job import Job, State
from . import mapping, transitions
from .committed_event import REPLACED, CommittedEvent
from .database import Database
from .lifecycle import JobLifecycle, revoked
from .prepared import Prepared, slot

_J = orm.Job
VACANT = "replacement"
"""The ``holder`` of a row that waits for its replacement."""
TAKEN_OVER = (
    "task",
    "args",
    "kwargs",
    "queue",
    "priority",
    "target_queue",
    "target_priority",
    "eta",
    "expires",
    "due",
    "headers",
)
"""The columns that the replacement sets."""


class JobReplacement(JobLifecycle):
    """The part of ``JobStore`` that gives a job's row to another task."""

    def __init__(self, database: Database, **options: Any) -> None:
        super().__init__(database, **options)
        change = {_J.state: State.PENDING.value, _J.holder: VACANT, _J.retries: _J.retries + 1, _J.due: slot("until")}
        left = {_J.published: None, _J.progress: None}
        held = (_J.uuid == slot("uuid"), transitions.BY_TOKEN, ~_J.cancel)
        self._vacate = Prepared(database.peewee, _update({**change, **left}).where(*held))
        self._end_cancelled = Prepared(database.peewee, transitions.finish(transitions.BY_TOKEN & _J.cancel))

    def vacate(self, uuid: str, *, token: str, until: int, at: int, before: Mapping[str, Any]) -> bool:
        """STARTED → PENDING, for a replacement; false if the claim is not current, or the job was to be cancelled.

        The event keeps ``before``, the task and the arguments that the replacement will overwrite.
        If nothing takes the row by the time ``until``, as its process died, the job is run again as it was.
        """
        cancelled = CommittedEvent(State.REVOKED.value, uuid, at, token, reported=True)
        if self._change(self._end_cancelled, cancelled, revoked("cancelled"), {"reason": "cancelled"}):
            return False
        return self._change(self._vacate, CommittedEvent(REPLACED, uuid, at, token), {"until": until}, before)

    def reoccupy(self, uuid: str, *, token: str, holder: str) -> bool:
        """Give a vacated row back to the attempt that vacated it, as there is no replacement."""
        change = {_J.state: State.STARTED.value, _J.holder: holder, _J.retries: _J.retries - 1, _J.due: None}
        return self._changes_one(_update(change).where(*_vacated(uuid), _J.claim == token))

    def keep_vacant(self, uuid: str, *, token: str) -> bool:
        """Let a vacated row wait without limit, as its replacement is on the way."""
        return self._changes_one(_update({_J.due: None}).where(*_vacated(uuid), _J.claim == token))

    def take_over(self, job: Job) -> bool:
        """Have a new job take over the vacated row of its UUID; false if that row is not vacant (any more)."""
        row = mapping.job_to_row(job)
        change = {**{getattr(_J, name): row[name] for name in TAKEN_OVER}, _J.holder: None}
        return self._changes_one(_update(change).where(*_vacated(job.uuid)), makes_due=True)

    def _changes_one(self, query: peewee.Update, *, makes_due: bool = False) -> bool:
        def change(db: peewee.Database) -> bool:
            changed = bool(query.execute(db))
            if changed and makes_due and self._row_queue:
                self._database.notify()
            return changed

        return self._database.write(change, durable=self._durable)


def _update(change: dict[Any, Any]) -> peewee.Update:
    return _J.update({**change, _J.version: _J.version + 1})


def _vacated(uuid: str) -> tuple[peewee.Node, ...]:
    return (_J.uuid == uuid, _J.state == State.PENDING.value, _J.holder == VACANT)
