"""FastAPI and Celery: what most tutorials show. Endpoints are plain functions, as ``delay()`` blocks."""

from collections.abc import Sequence

from ...processes import Command
from ...servers import RABBITMQ, REDIS
from ..commands import celery_worker, uvicorn
from ..counting import redis_keys
from ..system import Place, System


class FastapiCeleryRedis(System):
    """With results in Redis."""

    name = "fastapi-celery-redis"
    title = "FastAPI + Celery (RabbitMQ, Redis results)"
    needs = (RABBITMQ, REDIS)
    libraries = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "celery", "kombu", "redis")
    logs = "no line for a request (`--no-access-log`), no line for a job (Celery's default level)"

    def web(self, place: Place, processes: int) -> Sequence[Command]:
        """Under uvicorn."""
        return uvicorn(place, processes)

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        """Celery's."""
        return celery_worker(place, processes)

    def finished(self, place: Place) -> int:
        """Celery keeps one key for each result."""
        return redis_keys(place, 0)
