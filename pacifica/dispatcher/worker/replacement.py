"""``Task.replace``: the job goes on as another task, or as the last step of a workflow, under its own id.

The order makes a crash harmless: the row is vacated for a limited time, the replacement is dispatched, and then the row
waits without limit. The dispatch of the job's own id takes the row over (``store.replaced_jobs``): at once for a single
signature, after the earlier steps for a chain or a chord.
"""

from collections.abc import Iterator
from typing import Any, NoReturn

from celery import Task
from celery.canvas import Signature, _chain, maybe_signature
from celery.exceptions import Ignore

from ..core.backoff import retry_while_unavailable
from ..core.interruption import UNINTERRUPTED
from ..core.job import Claim, now

LEASE = 20_000_000
"""Microseconds after which a job is run again as it was, if its process died while it dispatched the replacement.

Below the lease of the relay, which would take a later time for that of a clock that was set back.
"""


def hand_over(task: Task, signature: Any) -> NoReturn:
    """Replace the running job by the signature, which has the job's id.

    Raises ``Ignore``, which ends the attempt without an outcome; or, before anything is dispatched, ``ValueError``
    or ``BadArguments`` for a signature that cannot be dispatched, which fails the job.
    """
    container, request = task.app.container, task.request
    claim: Claim = request.claim
    _check(task.app, signature)
    patience = container.settings.dispatcher.report_patience

    def vacate() -> bool:
        at = now()
        return bool(container.jobs.vacate(claim.job, token=claim.token, until=at + LEASE, at=at, before=before))

    before = {"task": task.name, "args": claim.args, "kwargs": claim.kwargs}
    # The soft time limit must not come between the row and what the process knows of it.
    with UNINTERRUPTED:
        vacated = retry_while_unavailable(vacate, patience)
        request.update(replaced=True)
        if not vacated:
            raise Ignore("The job was cancelled, or given to another worker, before it was replaced.")
        try:
            signature.delay()
        except BaseException:
            request.update(replaced=False)
            container.jobs.reoccupy(claim.job, token=claim.token, holder=container.holder)
            raise
        retry_while_unavailable(lambda: container.jobs.keep_vacant(claim.job, token=claim.token), patience)
        raise Ignore("Replaced by new task")


def raise_replaced(request: Any) -> None:
    """Raise ``Ignore`` for a job that was replaced, whatever its function did afterwards."""
    if getattr(request, "replaced", False):
        raise Ignore("Replaced by new task")


def _check(app: Any, signature: Any) -> None:
    """Check the name of each task in a signature, and the arguments of those that are dispatched now."""
    for step, at_once in _steps(signature, at_once=True):
        name = step.task
        if name not in app.tasks:
            raise ValueError(f"replace() cannot dispatch {name!r}: no task of that name is registered.")
        if at_once and name in app.container.registry:
            app.container.registry[name].bind_python(step.args or (), step.kwargs or {})


def _steps(signature: Any, *, at_once: bool) -> Iterator[tuple[Signature, bool]]:
    """Each signature of one task in a workflow, and whether it is dispatched at once, with its arguments complete."""
    signature = maybe_signature(signature)
    members = getattr(signature, "tasks", None)
    if members is None:
        yield signature, at_once
        return
    for index, member in enumerate([members] if isinstance(members, Signature) else members):
        yield from _steps(member, at_once=at_once and not (index and isinstance(signature, _chain)))
    if (body := getattr(signature, "body", None)) is not None:
        yield from _steps(body, at_once=False)
