"""The first step of an attempt: the claim on the job that a delivered message names."""

import logging
import os
from typing import Any

from ..core import strict_json
from ..core.errors import DatabaseUnavailable
from ..core.job import RETRIES_BEFORE, Claim, iso
from ..core.work import ClaimedJob
from ..logs import log_context

logger = logging.getLogger(__name__)

CLAIM_FIELD = "dispatcher_claim"
"""The field of a delivered message's request that holds the token of its claim."""

GRANTED = "dispatcher_granted"
"""The field of a request with the claimed row; the main process has claimed the job."""

REFUSAL = "dispatcher_refusal"
"""The field of a request with the ``BadArguments`` of a plain message."""

REPORTS = "dispatcher_reports"
"""The field of a request with the list that collects the reports of its attempt, for the main process to store."""

ATTEMPT = "dispatcher_attempt"
"""The field of a request that holds its ``Attempt``, in the process that runs the job."""


class Attempt:
    """The state of one attempt in its process: the request once the job is claimed, and whether it has ended."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.claimed: Any = None
        self.reported = False


def claim_early(task: Any, args: Any, kwargs: Any, **_: Any) -> None:
    """Take over the claim as Celery sends ``task_prerun``, so that every later receiver and hook sees its arguments.

    A receiver of a signal cannot end the attempt: ``claim_once`` raises the error once more, where it can.
    """
    request = task.request
    if getattr(task.app, "container", None) is None or request.is_eager or not hasattr(request, CLAIM_FIELD):
        return
    try:
        claim_once(request, args, kwargs)
        task.dispatcher_claimed(args, kwargs)
    except Exception as error:  # noqa: BLE001 - raised later
        request.update(unclaimed=error)


def claim_once(request: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Take over the claim, unless this attempt has done so.

    A message of the relay carries no arguments: those of the row are filled into the ``args`` and ``kwargs`` that
    Celery has made of the message and gives to every hook, to ``task.request``, and to the task. Raises
    ``BadArguments`` for a plain message whose arguments do not fit.
    """
    if (unclaimed := getattr(request, "unclaimed", None)) is not None:
        raise unclaimed
    if getattr(request, "claim", None) is None:
        claim = claim_job(request)
        args[:] = claim.args
        kwargs.clear()
        kwargs.update(claim.kwargs)
        retries = request.retries - getattr(request, RETRIES_BEFORE, 0)
        limits = request.timelimit or [None, None]  # The message has no header for its default.
        times = {"eta": iso(claim.eta), "expires": iso(claim.expires)}
        request.update(claim=claim, retries=retries, timelimit=limits, **times)
        getattr(request, ATTEMPT, Attempt()).claimed = request
        if (refusal := getattr(request, REFUSAL, None)) is not None:
            request.update(raised=refusal)
            raise refusal


def claim_job(request: Any) -> Claim:
    """The claim of the main process, which has come with the request."""
    granted: ClaimedJob = getattr(request, GRANTED)
    log_context.note(attempt=granted.attempt, worker=request.hostname)
    args, kwargs = strict_json.loads(granted.args), strict_json.loads(granted.kwargs)
    return Claim(granted.uuid, granted.token, granted.attempt, args, kwargs, granted.eta, granted.expires)


def report_missing(container: Any, uuid: str, task: str, *, plain: bool) -> None:
    """Log and count a message that claimed nothing because its job does not exist, or is of another task.

    That of a plain message exists, unless it was purged; an older message of the relay may name a task that has
    replaced itself.
    """
    try:
        job = container.jobs.get(uuid)
        if job is None and not container.jobs.was_purged(uuid):
            logger.error("A message of task %s names job %s, which does not exist.", task, uuid)
        elif job is not None and plain and job.task != task:
            logger.error("A message of task %s has the id of job %s, which is of task %s.", task, uuid, job.task)
        else:
            return
        container.event_counts.add_refused_message()
    except DatabaseUnavailable as error:
        logger.warning("Cannot look up job %s, which is not waiting to be run: %s", uuid, error)
