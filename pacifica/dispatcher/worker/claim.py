"""The first step of an attempt: the claim on the job that a delivered message names."""

from typing import Any

from celery.exceptions import Ignore, Reject

from ..core.backoff import retry_while_unavailable
from ..core.errors import DatabaseUnavailable
from ..core.job import RETRIES_BEFORE, Claim, now
from ..store.jobs import JobStore

CLAIM_FIELD = "dispatcher_claim"
"""The field of a delivered message's request that holds the token of its claim."""

ATTEMPT = "dispatcher_attempt"
"""The field of a request that holds its ``Attempt``, in the process that runs the job."""


class Attempt:
    """The state of one attempt in its process: the request once the job is claimed, and whether it has ended."""

    def __init__(self) -> None:
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
        request.update(claim=claim, retries=request.retries - getattr(request, RETRIES_BEFORE, 0))
        getattr(request, ATTEMPT, Attempt()).claimed = request


def claim_job(container: Any, request: Any) -> Claim:
    """Claim the job of a delivered message for one attempt.

    Raises ``Ignore`` if the job is not waiting to be run: Celery then drops the message. Raises ``Reject`` if the
    database stays unavailable: Celery then returns the message to the broker.
    """
    token = getattr(request, CLAIM_FIELD)
    tried = False  # In this process only: a pool gives the same delivery to another child if the first one died early.

    def claim() -> Claim | None:
        nonlocal tried
        again, tried = tried, True
        jobs: JobStore = container.jobs
        return jobs.claim(
            request.id,
            token=token,
            worker=request.hostname,
            holder=container.holder,
            retries=request.retries,
            at=now(),
            again=again,
        )

    try:
        claimed = retry_while_unavailable(claim, float(container.settings.dispatcher.report_patience))
    except DatabaseUnavailable as error:
        raise Reject(error, requeue=True) from error
    if claimed is None:
        raise Ignore(f"Job {request.id} is not waiting to be run.")
    return claimed
