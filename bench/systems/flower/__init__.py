"""Flower 2: Celery's own monitor, whose API starts tasks. One process; it cannot be several at one port."""

import json
from collections.abc import Sequence
from typing import ClassVar

from ...processes import Command
from ...requesting import Answer, Request
from ...servers import RABBITMQ, REDIS
from ..commands import celery_worker
from ..counting import redis_keys
from ..system import PEERS, Place, System


class Flower(System):
    """``POST /api/task/async-apply``, ``GET /api/task/result``."""

    name = "flower"
    title = "Flower 2 (RabbitMQ, Redis results)"
    needs = (RABBITMQ, REDIS)
    scales = False
    libraries = ("flower", "tornado", "celery", "kombu", "redis")
    logs = (
        "no line for a request (Flower's default level), no line for a job (Celery's default level); "
        "Flower has the worker send Celery's events"
    )
    dispatch: ClassVar[Request] = Request(
        "/api/task/async-apply/work.add", "POST", {"Content-Type": "application/json"}, '{"args": [2, 2]}'
    )

    def web(self, place: Place, processes: int) -> Sequence[Command]:
        """Without passwords, as nobody else reaches it."""
        where = ["--address=127.0.0.1", f"--port={place.port}"]
        return [
            Command("web", [PEERS / "celery", "-A", "work", "flower", *where], {"FLOWER_UNAUTHENTICATED_API": "true"})
        ]

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        """Celery's."""
        return celery_worker(place, processes)

    def finished(self, place: Place) -> int:
        """Celery keeps one key for each result."""
        return redis_keys(place, 0)

    def job(self, answer: Answer) -> str:
        """Under a name of its own."""
        return str(json.loads(answer.body)["task-id"])

    def status(self, job: str) -> Request:
        """State and result, from Celery's result backend."""
        return Request(f"/api/task/result/{job}")
