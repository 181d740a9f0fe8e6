"""The first step of an attempt: the claim on the job that a delivered message names."""

import logging
import os
from typing import Any

from celery.exceptions import Ignore, Reject

from ..core import strict_json
from ..core.backoff import retry_while_unavailable
from ..core.errors import DatabaseUnavailable
from ..core.job import RETRIES_BEFORE, Claim, iso, now
from ..core.work import ClaimedJob, MessageClaim
from ..logs import log_context
from ..store.work_queue import WorkQueue
from . import plain_message

logger = logging.getLogger(__name__)

CLAIM_FIELD = "dispatcher_claim"
"""The field of a delivered message's request that holds the token of its claim."""

GRANTED = "dispatcher_granted"
"""The field of a request with the claimed row, if the main process has claimed the job."""

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
    """Claim the job as Celery sends ``task_prerun``, so that every later receiver and hook sees its arguments.

    A receiver of a signal cannot end the attempt: ``claim_once`` raises the error once more, where it can.
    """
    container, request = getattr(task.app, "container", None), task.request
    if container is None or request.is_eager or not hasattr(request, CLAIM_FIELD):
        return
    try:
        claim_once(container, request, args, kwargs)
    except Exception as error:  # noqa: BLE001 - raised later
        request.update(unclaimed=error)


def claim_once(container: Any, request: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Claim the job, unless this attempt has done so; raises as ``claim_job``.

    A message carries no arguments: those of the row are filled into the ``args`` and ``kwargs`` that Celery has
    made of the message and gives to every hook, to ``task.request``, and to the task.
    """
    if (unclaimed := getattr(request, "unclaimed", None)) is not None:
        raise unclaimed
    if getattr(request, "claim", None) is None:
        claim = claim_job(container, request)
        args[:] = claim.args
        kwargs.clear()
        kwargs.update(claim.kwargs)
        retries = request.retries - getattr(request, RETRIES_BEFORE, 0)
        limits = request.timelimit or [None, None]  # The message has no header for its default.
        times = {"eta": iso(claim.eta), "expires": iso(claim.expires)}
        request.update(claim=claim, retries=retries, timelimit=limits, **times)
        getattr(request, ATTEMPT, Attempt()).claimed = request
        if (refusal := getattr(request, "refusal", None)) is not None:
            request.update(raised=refusal)
            raise refusal


def claim_job(container: Any, request: Any) -> Claim:
    """The claim of the main process, or one of its own for a plain Celery message, whose job is stored first.

    Raises ``Ignore`` if the job is not waiting to be run: Celery then drops the message. Raises ``Reject`` if the
    database stays unavailable: Celery then returns the message to the broker. If the arguments of a plain message do
    not fit, the request's ``refusal`` says why, and ``claim_once`` raises it: the claimed attempt fails.
    """
    granted: ClaimedJob = getattr(request, GRANTED, None) or _claim_plain(container, request)
    log_context.note(attempt=granted.attempt, worker=request.hostname)
    args, kwargs = strict_json.loads(granted.args), strict_json.loads(granted.kwargs)
    return Claim(granted.uuid, granted.token, granted.attempt, args, kwargs, granted.eta, granted.expires)


def _claim_plain(container: Any, request: Any) -> ClaimedJob:
    """Store and claim the job of a plain message; raises as ``claim_job``."""
    adopted = plain_message.adopt(container, request)
    tried = False  # In this process only: a pool gives the same delivery to another child if the first one died early.

    def claim() -> ClaimedJob | None:
        nonlocal tried
        again, tried = tried, True
        if adopted is not None:
            plain_message.store(container, adopted)
        queue: WorkQueue = container.work_queue
        return queue.claim(
            MessageClaim(request.id, request.retries),
            token=getattr(request, CLAIM_FIELD),
            worker=request.hostname,
            holder=container.holder,
            at=now(),
            again=again,
        )

    try:
        claimed = retry_while_unavailable(claim, float(container.settings.dispatcher.report_patience))
    except DatabaseUnavailable as error:
        raise Reject(error, requeue=True) from error
    if claimed is None:
        report_missing(container, request.id, request.task)
        raise Ignore(f"Job {request.id} is not waiting to be run.")
    if adopted is not None and adopted.refusal is not None:
        request.update(refusal=adopted.refusal)
    return claimed


def report_missing(container: Any, uuid: str, task: str) -> None:
    """Log and count a message whose job does not exist and was not purged: its arguments are nowhere."""
    try:
        if container.jobs.get(uuid) is None and not container.jobs.was_purged(uuid):
            logger.error("A message of task %s names job %s, which does not exist.", task, uuid)
            container.event_counts.add_refused_message()
    except DatabaseUnavailable as error:
        logger.warning("Cannot look up job %s, which is not waiting to be run: %s", uuid, error)
