"""How a worker's main process receives the message of a job: Celery's request class and its strategy."""

import secrets
from typing import Any

from celery.worker import strategy
from celery.worker.request import Request

from .claim import CLAIM_FIELD
from .plain_message import headers_of


class JobRequest(Request):  # type: ignore[misc]
    """A delivered message with a fresh token, by which its attempt claims the job.

    The main process makes the token, so that it can report that attempt, and no other, for a child that cannot.
    """

    def __init__(self, message: Any, **options: Any) -> None:
        # Celery has decoded the body to find its protocol; the process that runs the job need not decode it again.
        headers = headers_of(message, options.pop("headers", None) or message.headers)
        super().__init__(message, **options | {"body": message.payload, "decoded": True, "headers": headers})
        self.request_dict[CLAIM_FIELD] = secrets.token_hex(16)


def receive_without_log_line(task: Any, app: Any, consumer: Any) -> Any:
    """Celery's default strategy without its line "Task … received": the claim of the job is logged instead."""
    return strategy.default(task, app, consumer, info=lambda *_, **__: None)
