"""The expected outcome of each accepted job."""

from collections.abc import Iterator
from dataclasses import dataclass

from pacifica.dispatcher.core.job import Job

from ..faults.invariants import Record


@dataclass
class Accepted:
    """A job that was accepted, and its expected outcome."""

    token: str
    n: int
    uuid: str
    cancel: int = 0
    """The status of DELETE; 0 if it was not sent or not answered."""
    cancelled: bool = False


def wrong(one: Accepted, job: Job) -> Iterator[str]:
    """Yield each difference between the client's answers and the record."""
    description = f"{job.uuid} ({job.state}, DELETE was answered {one.cancel})"
    if list(job.args[:2]) != [one.token, one.n]:
        yield f"{description} has the arguments {job.args}"
    if job.state == "SUCCESS" and job.result != 2 * one.n:
        yield f"{description} has the result {job.result}"
    if job.state == "FAILURE":
        yield f"{description} failed: {job.error}"
    if (job.state == "REVOKED" and not one.cancelled) or (job.state != "REVOKED" and one.cancel == 200):
        yield f"{description} contradicts that answer"


def wrong_runs(job: Job, record: Record, runs: int) -> Iterator[str]:
    """Yield a fault if a body ran more often than the job was started, or not at all."""
    history = record.history[job.uuid]
    if runs > history.count("STARTED") or (job.state == "SUCCESS" and not runs):
        yield f"{job.uuid}: its body ran {runs} times: {history}"
