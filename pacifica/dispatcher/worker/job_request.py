"""How a worker's main process receives the message of a job: Celery's request class and its strategy."""

import time
from collections.abc import Callable, Sequence
from typing import Any
from weakref import ref

from celery.worker import state, strategy
from celery.worker.request import Request

from ..core.job import Job
from ..core.work import ClaimedJob, MessageClaim
from ..delivery.task_message import is_adopted
from .claim import CLAIM_FIELD, GRANTED, REFUSAL
from .message_check import names_a_job_only
from .plain_message import headers_of, job_of


class JobRequest(Request):  # type: ignore[misc]
    """A delivered message, whose job the main process claims; or a claimed row in the place of one.

    ``new`` is the job of a plain Celery message, which may have no row yet. Raises ``InvalidTaskError`` for a plain
    message that cannot be a job.
    """

    is_row = False

    def __init__(self, message: Any, **options: Any) -> None:
        # Celery has decoded the body to find its protocol; the process that runs the job need not decode it again.
        headers = options.pop("headers", None) or message.headers
        plain = not names_a_job_only(message)
        if plain:
            headers_read = headers_of(headers)
        else:
            headers_read = {**headers, "expires": None} if is_adopted(options.get("task")) else headers
        given = {"body": message.payload, "decoded": True, "headers": headers_read}
        super().__init__(message, **options | given)
        self.request_dict[CLAIM_FIELD] = ""
        self.new: Job | None = None
        if plain:
            self.new, refusal = job_of(self.app.container, self, headers)
            if refusal is not None:
                self.request_dict[REFUSAL] = refusal

    def grant(self, job: ClaimedJob) -> None:
        """Keep the claim on the job: its row, and the token for reports."""
        self.new = None
        self.request_dict.update({CLAIM_FIELD: job.token, GRANTED: job})

    def claims(self) -> MessageClaim:
        """The claim that the message makes."""
        redelivered = bool((self.delivery_info or {}).get("redelivered"))
        return MessageClaim(self.id, self.request_dict.get("retries") or 0, self.new, redelivered)

    def is_plain(self) -> bool:
        """Whether its job may share a message of the pool with others."""
        embed = self.body[2] or {}
        return not (any(self.time_limits) or any(embed.values())) and self.task.acks_on_failure is not False

    def start(self, pool: Any, run: Callable[..., Any], arguments: Sequence[Any], **callbacks: Any) -> None:
        """Send the job to the pool, alone, with its time limits."""
        hard, soft = self.time_limits
        result = pool.apply_async(
            run,
            args=arguments,
            timeout_callback=self.on_timeout,
            soft_timeout=soft or self.task.soft_time_limit,
            timeout=hard or self.task.time_limit,
            correlation_id=self.id,
            **callbacks,
        )
        self._apply_result = None if result is None else ref(result)

    def show(self, pid: int | None, since: float) -> None:
        """Let remote control find the job, which has shared a message, and runs in this process since then.

        A request to terminate it that has come before is carried out.
        """
        self.worker_pid, self.time_start = pid, time.time() - (time.monotonic() - since)
        state.task_reserved(self)
        state.task_accepted(self)
        if self._terminate_on_ack is not None:
            self.terminate(*self._terminate_on_ack)

    def settle(self, returned: Any, _: str | None = None) -> None:
        """Acknowledge the message of a job whose attempt is reported; ``returned`` is what Celery's tracer returns."""
        if returned is not None:
            self.on_success(returned)
        else:
            self.drop()

    def drop(self) -> None:
        """Acknowledge the message without an event: its job does not wait to be run, or has shared its message."""
        state.task_ready(self, successful=True)
        self.acknowledge()

    def forget(self) -> None:
        """Remove the request from the worker's lists: its job was not begun, and returns to the queue."""
        state.task_ready(self)

    def give_back(self) -> None:
        """Return the message to the broker, for any worker: its job is not claimed."""
        self.forget()
        self.reject(requeue=True)


def receive_without_log_line(task: Any, app: Any, consumer: Any) -> Any:
    """Celery's default strategy without its line "Task … received": the claim of the job is logged instead."""
    return strategy.default(task, app, consumer, info=lambda *_, **__: None)
