"""Actions for several jobs: a page that asks, then each job on its own, then the list with a summary."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import cherrypy

from ..core.errors import (
    AlreadyFinal,
    BadId,
    BadRequest,
    DatabaseUnavailable,
    DispatcherError,
    PurgedJob,
    UnknownJob,
)
from ..core.job import Job, State, new_uuid, parse_uuid
from ..core.permissions import CANCEL, DISPATCH, READ, Visibility
from ..service.verbs import Service
from ..web.operation import Operation
from ..web.request.request_context import caller, dispatch_context, visible_jobs
from . import notices, rendering
from .sign_in import field, local, see_other

MOST_JOBS = 500
"""The most jobs of one action."""
PHRASES: Mapping[str, str] = {
    "cancelled": "cancelled",
    "stopping": "asked to stop",
    "retried": "dispatched again",
    "ended": "had already ended",
    "refused": "refused: your scopes do not cover them",
    "unknown": "not found",
    "failed": "not dispatched: their task no longer takes these arguments",
    "left": "not tried: the database did not answer",
}
"""The outcomes, and the words for them in the summary."""
_SUMMARY = re.compile(rf"({'|'.join(PHRASES)})-(\d{{1,3}})", re.ASCII)
LIST = "/ui/jobs"


class BulkAction:
    """A resource that does one thing to each of the jobs in the form."""

    exposed = True
    name: ClassVar[str]
    scope: ClassVar[str]

    def __init__(self, service: Service) -> None:
        self._service = service

    def apply(self, uuid: str, key: str) -> str:
        """Act on one job, and return the outcome; raises as the service. ``key`` identifies the form."""
        raise NotImplementedError

    def answer(self) -> bytes:
        """Ask for a confirmation, or act and show the list."""
        rendering.require_full()
        uuids = list(dict.fromkeys(cherrypy.request.form.get("uuid", ())))
        if len(uuids) > MOST_JOBS:
            raise BadRequest(f"The form names {len(uuids)} jobs. Select at most {MOST_JOBS} at a time.")
        back = local(field("back"))
        back = back if re.fullmatch(rf"{LIST}(\?.*)?", back) else LIST
        if not uuids:
            return see_other(back)
        if field("confirmed"):
            return see_other(_with_summary(back, self._outcomes(uuids)))
        return self._ask(uuids, back)

    def _ask(self, uuids: Sequence[str], back: str) -> bytes:
        jobs = readable(self._service, uuids, caller().visibility(READ))
        counts = Counter(job.state for job in jobs)
        return rendering.page(
            "jobs_confirm.html",
            action=self.name,
            uuids=uuids,
            jobs=jobs,
            counts=[(state, counts[state]) for state in State if counts[state]],
            ended=sum(counts[state] for state in State if state.final),
            missing=len(uuids) - len(jobs),
            back=back,
            key=new_uuid(),
        )

    def _outcomes(self, uuids: Sequence[str]) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        for done, uuid in enumerate(uuids):
            try:
                outcomes[self._outcome(uuid)] += 1
            except DatabaseUnavailable:
                if done == 0:
                    raise
                outcomes["left"] = len(uuids) - done
                break
        return outcomes

    def _outcome(self, uuid: str) -> str:
        try:
            return self.apply(parse_uuid(uuid), field("key"))
        except AlreadyFinal:
            return "ended"
        except (UnknownJob, PurgedJob, BadId):
            return "refused" if readable(self._service, [uuid], caller().visibility(READ)) else "unknown"
        except DatabaseUnavailable:
            raise
        except DispatcherError:
            return "failed"


class CancelJobs(BulkAction):
    """``/ui/jobs/cancel``"""

    name, scope = "cancel", CANCEL

    @Operation("/ui/jobs/cancel", CANCEL, {200: "", 303: ""}, page=True)
    def POST(self) -> bytes:
        """Cancel the jobs of the form."""
        return self.answer()

    def apply(self, uuid: str, key: str) -> str:  # noqa: ARG002 - a cancellation may be repeated
        """Cancel the job."""
        return "cancelled" if self._service.cancel(uuid, visible_jobs()).final else "stopping"


class RetryJobs(BulkAction):
    """``/ui/jobs/retry``"""

    name, scope = "retry", DISPATCH

    @Operation("/ui/jobs/retry", DISPATCH, {200: "", 303: ""}, page=True)
    def POST(self) -> bytes:
        """Dispatch the jobs of the form again."""
        return self.answer()

    def apply(self, uuid: str, key: str) -> str:
        """Dispatch the job again, once for each form."""
        context = dispatch_context()
        if key:
            context = replace(context, idempotency_key=f"ui {parse_uuid(key)} {uuid}")
        self._service.retry(uuid, visible_jobs(), context)
        return "retried"


def readable(service: Service, uuids: Iterable[str], visible: Visibility) -> list[Job]:
    """Those of the jobs that are visible; the others are left out."""
    jobs = []
    for uuid in uuids:
        try:
            jobs.append(service.status(parse_uuid(uuid), visible, large_as_text=True))
        except (BadId, UnknownJob, PurgedJob):
            continue
    return jobs


def _with_summary(path: str, outcomes: Counter[str]) -> str:
    text = ",".join(f"{name}-{outcomes[name]}" for name in PHRASES if outcomes[name])
    return f"{path}{'&' if '?' in path else '?'}done={notices.stamped(text)}"


def summary(text: str) -> str:
    """The sentence for the value of ``done``; empty if it is not one of ``_with_summary``."""
    parts = [_SUMMARY.fullmatch(part) for part in notices.fresh(text).split(",")]
    return ", ".join(f"{part[2]} {PHRASES[part[1]]}" for part in parts if part is not None)
