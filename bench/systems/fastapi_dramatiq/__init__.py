"""FastAPI and Dramatiq."""

from collections.abc import Sequence

from ...processes import Command
from ...servers import RABBITMQ, REDIS
from ..commands import uvicorn
from ..counting import redis_keys
from ..system import PEERS, Place, System

THREADS = "1"
"""Of each process: by turns, it dispatched more than with 8, the default (3,119 to 2,126/s, 2,041 to 1,181)."""


class FastapiDramatiq(System):
    """RabbitMQ and results in Redis."""

    name = "fastapi-dramatiq"
    title = "FastAPI + Dramatiq (RabbitMQ, Redis results)"
    needs = (RABBITMQ, REDIS)
    libraries = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "dramatiq", "pika", "redis")
    logs = "no line for a request (`--no-access-log`), no line for a job (Dramatiq's default level)"

    def web(self, place: Place, processes: int) -> Sequence[Command]:
        """Under uvicorn."""
        return uvicorn(place, processes)

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        """Processes with that many threads each."""
        options = ["--processes", str(processes), "--threads", THREADS]
        return [Command("worker", [PEERS / "dramatiq", *options, "work"])]

    def finished(self, place: Place) -> int:
        """Dramatiq keeps one key for each result."""
        return redis_keys(place, 0)
