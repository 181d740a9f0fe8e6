"""The statements that change a job's state, each a guarded UPDATE; ``core.job`` has the states and transitions."""

import peewee

from .. import orm
from ..core.job import State
from .prepared import slot

_J = orm.Job
_IS = _J.uuid == slot("uuid")
_ATTEMPTS_LEFT = _J.attempt - _J.retries < _J.max_attempts

CHANGED_BY_RETRY = ("queue", "priority", "target_queue", "target_priority", "expires", "headers")
"""The columns that a retry may change beside the arguments."""
WAITING = orm.WAITING_STATES
"""The guard of a job that no worker has claimed."""
BY_TOKEN = orm.STARTED & (_J.claim == slot("token"))
"""The guard of a report: the token is that of the current claim."""


def finish(guard: peewee.Node) -> peewee.Update:
    """To the final state of the slot ``state``, with its result or error."""
    return _J.update(
        {
            _J.state: slot("state"),
            _J.version: _J.version + 1,
            _J.result: slot("result"),
            _J.error: slot("error"),
            _J.finished: slot("at"),
            _J.due: None,
        }
    ).where(_IS, guard)


def retry() -> peewee.Query:
    """STARTED → RETRY: back into the outbox, to be published at ``eta``, with the arguments of the slots.

    Those of ``CHANGED_BY_RETRY`` keep their value where the slot is NULL.
    """
    return _J.update(
        {
            **_to(State.RETRY),
            **_IN_OUTBOX,
            **{getattr(_J, name): slot(name) for name in ("args", "kwargs", "error", "retries", "eta")},
            **{getattr(_J, name): peewee.fn.COALESCE(slot(name), getattr(_J, name)) for name in CHANGED_BY_RETRY},
            _J.due: slot("eta"),
        }
    ).where(_IS, BY_TOKEN, ~_J.cancel)


def put_back() -> peewee.Query:
    """STARTED → PENDING for another worker, unless the job is to be cancelled or has no attempts left."""
    return _J.update({**_to(State.PENDING), **_IN_OUTBOX, _J.due: slot("at")}).where(
        _IS, BY_TOKEN, _ATTEMPTS_LEFT, ~_J.cancel
    )


def give_back() -> peewee.Query:
    """STARTED → PENDING for a job that its worker has not begun, unless it is to be cancelled: as if never claimed."""
    return _J.update(
        {
            **_to(State.PENDING),
            _J.attempt: _J.attempt - 1,
            _J.started: None,
            _J.published: slot("published"),
            _J.holder: None,
            _J.due: slot("due"),
        }
    ).where(_IS, BY_TOKEN, ~_J.cancel)


def ask_to_cancel() -> peewee.Query:
    """Record in a STARTED job that it is to be cancelled; its worker reads this at its next check."""
    return _J.update({_J.cancel: True, _J.version: _J.version + 1}).where(_IS, orm.STARTED, ~_J.cancel)


def explain_wait(*, delivered: bool) -> peewee.Query:
    """Store the error that says why a job waits, unless it has one like the pattern of the slot ``known``.

    A job whose message was ``delivered`` is published, although the relay may not have recorded that yet.
    """
    other = _J.error.is_null() | ~(_J.error ** slot("known"))
    change = {_J.error: slot("error"), _J.version: _J.version + 1}
    sent = {_J.published: peewee.fn.COALESCE(_J.published, slot("at")), _J.due: None} if delivered else {}
    return _J.update(change | sent).where(_IS, WAITING, _J.retries == slot("retries"), other)


def report_progress() -> peewee.Query:
    """Replace the progress of the attempt that has the current claim."""
    return _J.update({_J.progress: slot("progress"), _J.version: _J.version + 1}).where(_IS, BY_TOKEN)


_IN_OUTBOX = {_J.published: None, _J.holder: None}


def _to(state: State) -> dict[peewee.Field, object]:
    return {_J.state: state.value, _J.version: _J.version + 1}
