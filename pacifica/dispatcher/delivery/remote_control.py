"""Celery's remote control: a queue for each worker process, also of the same name, and revocations in the record."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from billiard.common import TERM_SIGNAME
from celery.app.control import Control
from kombu.entity import Queue
from kombu.pidbox import Mailbox

from ..core.job import now


class OwnMailbox(Mailbox):
    """A mailbox whose queues have unique names on RabbitMQ.

    RabbitMQ keeps an exclusive queue for the connection that declared it, so a second worker of the same name, or one
    that restarts while its lost connection still counts, would end with ``RESOURCE_LOCKED``. The exchange is a fanout,
    which ignores names. On other brokers a killed worker would leave a queue behind that no one deletes.
    """

    unique = False

    def get_queue(self, hostname: str) -> Queue:
        """The queue of a worker."""
        queue: Queue = super().get_queue(hostname)  # type: ignore[no-untyped-call]
        if self.unique:
            queue.name = f"{queue.name}.{uuid4().hex}"
        return queue


class RemoteControl(Control):  # type: ignore[misc]
    """The class of ``app.control``."""

    Mailbox: Any = OwnMailbox

    def __init__(self, app: Any = None) -> None:
        super().__init__(app)
        self.mailbox.unique = app.connection_for_read().get_transport_cls().driver_type == "amqp"

    def revoke(
        self,
        task_id: str | Sequence[str],
        destination: Any = None,
        terminate: bool = False,  # noqa: FBT001, FBT002 - Celery's signature
        signal: Any = TERM_SIGNAME,
        **options: Any,
    ) -> Any:
        """Revoke waiting jobs in the record, also if no worker is up, and send the request to the workers.

        With ``terminate``, running jobs are cancelled. Raises ``DatabaseUnavailable``.
        """
        jobs = self.app.container.jobs
        for uuid in [task_id] if isinstance(task_id, str) else task_id:
            if destination is None and not jobs.revoke(uuid, reason="revoked", at=now()) and terminate:
                jobs.ask_to_cancel(uuid, at=now())
        return super().revoke(task_id, destination, terminate, signal, **options)
