"""The statements that move a job, each one a guarded UPDATE; see ``job`` for the states and their moves."""

import peewee

from .. import orm
from ..core.job import State
from .prepared import slot

_J = orm.Job
_IS = _J.uuid == slot("uuid")
_WAITING = orm.WAITING_STATES
_STARTED = orm.STARTED

BY_TOKEN = _STARTED & (_J.claim == slot("token"))
"""The report of the attempt that holds the current claim, or of whoever speaks for it."""
WAITING = _WAITING
"""Nobody has claimed it."""
_ATTEMPTS_LEFT = _J.attempt - _J.retries < _J.max_attempts


def claim(*, returning: bool) -> peewee.Update:
    """PENDING or RETRY → STARTED, for a message of the same count of retries, unless it has expired."""
    in_time = _J.expires.is_null() | (_J.expires > slot("at"))
    query = _J.update(
        {
            **_to(State.STARTED),
            _J.attempt: _J.attempt + 1,
            _J.claim: slot("token"),
            _J.worker: slot("worker"),
            _J.holder: slot("holder"),
            _J.started: slot("at"),
            _J.published: peewee.fn.COALESCE(_J.published, slot("at")),  # The relay may be about to say so.
            _J.due: None,
        }
    ).where(_IS, _WAITING, _J.retries == slot("retries"), in_time)
    return query.returning(_J.attempt, _J.args, _J.kwargs, _J.created, _J.eta) if returning else query


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
    """STARTED → RETRY: back into the outbox, to be published at ``eta``, perhaps with other arguments."""
    return _J.update(
        {
            **_to(State.RETRY),
            **_BACK,
            **{getattr(_J, name): slot(name) for name in ("args", "kwargs", "error", "retries", "eta")},
            _J.due: slot("eta"),
        }
    ).where(_IS, BY_TOKEN, ~_J.cancel)


def put_back() -> peewee.Query:
    """STARTED → PENDING: its worker is gone, another one may try; not when nobody wants it any more."""
    return _J.update({**_to(State.PENDING), **_BACK, _J.due: slot("at")}).where(
        _IS, BY_TOKEN, _ATTEMPTS_LEFT, ~_J.cancel
    )


def ask_to_cancel() -> peewee.Query:
    """Keep the wish in the row of a STARTED job; its worker reads it when it renews its lease."""
    return _J.update({_J.cancel: True, _J.version: _J.version + 1}).where(_IS, _STARTED, ~_J.cancel)


def report_progress() -> peewee.Query:
    """What the attempt that holds the claim says of itself."""
    return _J.update({_J.progress: slot("progress"), _J.version: _J.version + 1}).where(_IS, BY_TOKEN)


_BACK = {_J.published: None, _J.holder: None}


def _to(state: State) -> dict[peewee.Field, object]:
    return {_J.state: state.value, _J.version: _J.version + 1}
