"""``Task.update_state``: Celery's way to show progress under a state of one's own, or to end as one says.

A state of one's own is progress: the row's state stays STARTED. SUCCESS and FAILURE count if the function then raises
Celery's ``Ignore``, which means that the worker must not store another outcome.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from celery import Task, states
from celery.exceptions import Ignore

from ..core import strict_json
from ..core.job import JobError
from ..core.json_values import NotJson, plain
from . import outcomes, reporting
from .progress import LONGEST_MESSAGE, progress_value

LONGEST_STATE = 64
"""The most characters of a state."""
MOST_META = 65_536
"""The most characters of the JSON text of a state's ``meta``."""
BY_HAND = (states.SUCCESS, states.FAILURE)
"""Final states that a function may give itself."""
NOT_BY_HAND: Mapping[str, str] = {
    states.RETRY: "call self.retry()",
    states.REVOKED: "a job is cancelled by DELETE /status/<id>",
    **dict.fromkeys((states.PENDING, states.RECEIVED, states.REJECTED, states.IGNORED), "the worker keeps it"),
}
"""States that no function can give itself, each with what to do instead."""


def update_state(task: Task, task_id: str | None, state: Any, meta: Any) -> None:
    """Show a state with its meta as progress, or keep the final state that the function wants.

    Outside a worker it does nothing. Raises ``ValueError`` for a state, a meta or a task id that is not possible.
    """
    request = task.request
    reporter = getattr(request, "reporter", None)
    if reporter is None:
        return
    if task_id not in {None, request.id}:
        raise ValueError(f"update_state: a job can change its own state only, not that of {task_id!r:.80}")
    if not isinstance(state, str) or not state.isprintable() or not 0 < len(state) <= LONGEST_STATE:
        raise ValueError(f"update_state: state must be a text of 1 to {LONGEST_STATE} characters, not {state!r:.80}")
    if state in NOT_BY_HAND:
        raise ValueError(f"update_state: a function cannot set the state {state}: {NOT_BY_HAND[state]}")
    if state in BY_HAND:
        request.update(stated=(state, meta))
    else:
        reporter.report(_progress(state, meta))


def end_as_stated(task: Task, error: BaseException) -> None:
    """Report the final state that the function gave itself, if it raised ``Ignore`` after that; raises the error."""
    stated = getattr(task.request, "stated", None)
    if stated is None or not isinstance(error, Ignore):
        return
    state, meta = stated
    container = task.app.container
    if state == states.SUCCESS:
        outcome: outcomes.Outcome = outcomes.Succeeded(_json(meta, container.settings.dispatcher.result_limit))
    else:
        outcome = outcomes.Failed(_error(meta))
    reporting.report(container, task.request.id, task.request, outcome)
    raise error


def _progress(state: str, meta: Any) -> Mapping[str, Any]:
    """The progress of a state: ``current``, ``total`` and ``message`` where its meta has them, and meta as a whole."""
    own = _json(meta, MOST_META)
    shown: dict[str, Any] = {"message": state}
    if isinstance(own, dict):
        texts = [own.get(name) for name in ("message", "status", "description")]
        message = next((text for text in texts if isinstance(text, str)), state)
        shown["message"] = message[:LONGEST_MESSAGE]
        with suppress(KeyError, TypeError, ValueError):  # If its numbers are not a count up to a total.
            shown |= progress_value(own["current"], own.get("total"), shown["message"])
    return {**shown, "state": state, "meta": own}


def _json(meta: Any, limit: int) -> Any:
    """The meta as JSON values; raises ``ValueError`` if it has none, or too many of them."""
    try:
        own = plain(meta)
        size = len(strict_json.dumps(own))
    except NotJson as error:
        raise ValueError(f"update_state: {error.sentence('meta')}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"update_state: meta cannot be stored: {error}") from error
    if size > limit:
        raise ValueError(f"update_state: meta has {size} characters of JSON; {limit} are allowed")
    return own


def _error(meta: Any) -> JobError:
    """The error of a FAILURE: an exception, or Celery's form of one (``exc_type``, ``exc_message``)."""
    if isinstance(meta, BaseException):
        return outcomes.job_error(meta)
    own = _json(meta, outcomes.LONGEST_TEXT)
    given = own if isinstance(own, dict) else {}
    text = given.get("exc_message", own)
    lines = text if isinstance(text, list) else [text]
    message = "\n".join(line if isinstance(line, str) else strict_json.dumps(line) for line in lines)
    return JobError(
        type=str(given.get("exc_type", "StatedFailure"))[:LONGEST_STATE],
        message=message[: outcomes.LONGEST_TEXT],
        module=str(given.get("exc_module", "builtins"))[:LONGEST_STATE],
        arguments=[message[: outcomes.LONGEST_TEXT]],
    )
