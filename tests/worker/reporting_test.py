"""Reports from a worker's main process, and from a pool process that was forked from it."""

import os
from types import SimpleNamespace

from pacifica.dispatcher.core.job import Job, State, new_uuid, now
from pacifica.dispatcher.core.work import MessageClaim
from pacifica.dispatcher.worker.claim import CLAIM_FIELD, GRANTED
from pacifica.dispatcher.worker.job_steps import EventWatch
from pacifica.dispatcher.worker.job_writer import JobWriter
from pacifica.dispatcher.worker.outcomes import Succeeded
from pacifica.dispatcher.worker.reporting import report_from_main

from .engine import QUEUE
from .job_writer_test import ListPool
from .local_worker import LocalWorker


def test_report_of_a_pool_process_does_not_wait_for_the_copy_of_a_writer(worker: LocalWorker) -> None:
    """The thread of the writer does not run in a process that was forked."""
    container = worker.container
    container.writer = JobWriter(
        container.work_queue, EventWatch(), ListPool(), worker="w@test", holder=container.holder, queues=lambda: [QUEUE]
    )
    job = Job(new_uuid(), "short", [], {}, State.PENDING, now(), due=now(), max_attempts=3)
    container.jobs.add([job])
    claimed = container.work_queue.claim(
        MessageClaim(job.uuid, 0), token="t", worker="w@test", holder=container.holder, at=now(), again=False
    )
    assert claimed is not None
    container.database.close()
    request = SimpleNamespace(**{CLAIM_FIELD: "t", GRANTED: claimed})
    if (pid := os.fork()) == 0:
        try:
            report_from_main(container, job.uuid, request, Succeeded(4), lambda: os._exit(0))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "what follows the report is not called"
    assert worker.outcome(job.uuid) == (State.SUCCESS, 4)
