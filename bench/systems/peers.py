"""The peers. README.md says how each is set up, and why."""

import json
from collections.abc import Sequence
from functools import cache
from typing import ClassVar

import redis

from ..processes import Command
from ..requesting import Answer, Request
from ..servers import POSTGRESQL, RABBITMQ, REDIS
from ..stores import postgresql_number, sqlite_number
from .system import ARQ, PEERS, Place, Promises, System

FASTAPI = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools")
FLASK = ("flask", "werkzeug", "gunicorn")
NO_ACCESS_LOG = "no line for a request"
ARQ_KEYS = 64
"""Keys at most of arq beside one for each job: the queue, and two for each of twenty running jobs."""
WAITING = Request("/run/add/2/2")
"""The applications of those peers whose libraries can wait for a result have this route."""


class Fastapi(System):
    """``web.py`` under uvicorn with uvloop and httptools, without access log."""

    def web(self, place: Place) -> Command:
        where = ["--host", "127.0.0.1", "--port", str(place.port)]
        fast = ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        return Command("web", [self.environment / "uvicorn", *where, *fast, "web:app"])


class Flask(System):
    """``web.py`` under gunicorn's threads; gunicorn writes no access log by default."""

    def web(self, place: Place) -> Command:
        threads = ["-k", "gthread", "--threads", "8", "--keep-alive", "10"]
        return Command("web", [PEERS / "gunicorn", "-b", f"127.0.0.1:{place.port}", "-w", "1", *threads, "web:app"])


class CeleryWorker(System):
    """A prefork worker of ``work.py``, at Celery's default log level."""

    promises = Promises("no: a message, not confirmed", "lost", "no", "number")

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        command = [PEERS / "celery", "-A", "work", "worker", "-n", f"bench-{place.port}@%h", "-c", str(processes)]
        return [Command("worker", command, {"BENCH_RESULTS": self.results(place)})]

    def results(self, place: Place) -> str:
        """Return the URL of Celery's result backend."""
        return f"{place.redis}/0"

    def finished(self, place: Place) -> int:
        return redis_keys(place)


class Flower(CeleryWorker):
    """Celery's monitor, whose API starts tasks."""

    name = "flower"
    title = "Flower 2 (RabbitMQ, Redis results)"
    needs = (RABBITMQ, REDIS)
    libraries = ("flower", "tornado", "celery", "kombu", "redis")
    logs = f"{NO_ACCESS_LOG} or a job (default levels); Flower has the worker send Celery's events"
    dispatch: ClassVar[Request] = Request(
        "/api/task/async-apply/work.add", "POST", {"Content-Type": "application/json"}, '{"args": [2, 2]}'
    )

    def web(self, place: Place) -> Command:
        env = {"FLOWER_UNAUTHENTICATED_API": "true", "BENCH_RESULTS": self.results(place)}
        where = ["--address=127.0.0.1", f"--port={place.port}"]
        return Command("web", [PEERS / "celery", "-A", "work", "flower", *where], env)

    def job(self, answer: Answer) -> str:
        return str(json.loads(answer.body)["task-id"])

    def status(self, job: str) -> Request:
        return Request(f"/api/task/result/{job}")


class FastapiCeleryRedis(CeleryWorker, Fastapi):
    """The pair that most tutorials show."""

    name = "fastapi-celery-redis"
    title = "FastAPI + Celery (RabbitMQ, Redis results)"
    needs = (RABBITMQ, REDIS)
    libraries = (*FASTAPI, "celery", "kombu", "redis")
    source = "fastapi_celery"
    waiting = WAITING
    logs = f"{NO_ACCESS_LOG} (`--no-access-log`) or a job (Celery's default level)"

    def web(self, place: Place) -> Command:
        command = super().web(place)
        return Command(command.name, command.arguments, {"BENCH_RESULTS": self.results(place)})


class FastapiCeleryPostgresql(FastapiCeleryRedis):
    """With a durable record of the results, by Celery's own database backend (SQLAlchemy)."""

    name = "fastapi-celery-postgresql"
    title = "FastAPI + Celery (RabbitMQ, PostgreSQL results)"
    needs = (RABBITMQ, POSTGRESQL)
    promises = Promises("no: a message, not confirmed; a row when it has ended", "lost", "no", "number")
    libraries = (*FASTAPI, "celery", "kombu", "sqlalchemy", "psycopg")

    def results(self, place: Place) -> str:
        return f"db+{place.postgresql.replace('postgresql:', 'postgresql+psycopg:')}"

    def finished(self, place: Place) -> int:
        return postgresql_number(place.postgresql, "SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'")


class FlaskRq(Flask):
    """``SimpleWorker``, which RQ's documentation allows for jobs of a few milliseconds; the default forks per job."""

    name = "flask-rq"
    title = "Flask + RQ (Redis)"
    needs = (REDIS,)
    libraries = (*FLASK, "rq", "redis")
    logs = f"{NO_ACCESS_LOG} (gunicorn's default) or a job (`--quiet`; RQ's default is two for each)"
    promises = Promises("in Redis", "stays `started`", "no", "no")
    waiting = WAITING
    ended = "finished"

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        options = ["--worker-class", "rq.worker.SimpleWorker", "--quiet", "--url", f"{place.redis}/0", "default"]
        return [Command("worker", [PEERS / "rq", "worker-pool", "-n", str(processes), *options])]

    def finished(self, place: Place) -> int:
        return int(_client(place.redis).zcard("rq:finished:default"))


class FlaskHuey(Flask):
    """Its consumer looks every 10 ms (``-d``, ``-m``); its default is 100 ms to 10 s."""

    name = "flask-huey"
    title = "Flask + Huey (SQLite)"
    libraries = (*FLASK, "huey")
    promises = Promises("yes, on disk, until it starts", "lost", "no", "no")
    logs = f"{NO_ACCESS_LOG} (gunicorn's default) or a job (`--quiet`; Huey's default is two for each)"

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        options = ["-w", str(processes), "-k", "process", "-d", "0.01", "-m", "0.01", "-g", "TERM", "--quiet"]
        return [Command("worker", [PEERS / "huey_consumer", "work.huey", *options])]

    def finished(self, place: Place) -> int:
        return sqlite_number(place.folder / "huey.sqlite3", "SELECT count(*) FROM kv")


class FastapiArq(Fastapi):
    """Its workers look every 10 ms (``poll_delay``); the default is half a second."""

    name = "fastapi-arq"
    title = "FastAPI + arq (Redis)"
    needs = (REDIS,)
    environment = ARQ
    libraries = (*FASTAPI, "arq", "redis", "hiredis")
    logs = f"{NO_ACCESS_LOG} (`--no-access-log`) or a job (`--custom-log-dict`; arq's default is two for each)"
    promises = Promises("in Redis", "runs again after 5 min", "no", "no")
    ended = "complete"

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        command = [ARQ / "arq", "--custom-log-dict", "work.QUIET", "work.WorkerSettings"]
        return [Command(f"worker-{number}", command) for number in range(processes)]

    def finished(self, place: Place) -> int:
        """Count the results when the queue is empty, as that reads all keys; else leave out what else may be there."""
        client = _client(place.redis)
        if waiting := client.zcard("arq:queue"):
            return max(0, int(client.dbsize()) - int(waiting) - ARQ_KEYS)
        return sum(1 for _ in client.scan_iter("arq:result:*", count=10_000))


class FastapiDramatiq(Fastapi):
    """One thread per process: in turns, it dispatched 3,119 and 2,041/s, and 2,126 and 1,181/s with the default, 8."""

    name = "fastapi-dramatiq"
    title = "FastAPI + Dramatiq (RabbitMQ, Redis results)"
    needs = (RABBITMQ, REDIS)
    libraries = (*FASTAPI, "dramatiq", "pika", "redis")
    promises = Promises("no: a message, not confirmed", "runs again at once", "no", "no")
    waiting = WAITING
    logs = f"{NO_ACCESS_LOG} (`--no-access-log`) or a job (Dramatiq's default level)"

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        return [Command("worker", [PEERS / "dramatiq", "--processes", str(processes), "--threads", "1", "work"])]

    def finished(self, place: Place) -> int:
        return redis_keys(place)


def redis_keys(place: Place) -> int:
    """Return the number of keys; Celery and Dramatiq keep one for each result."""
    return int(_client(place.redis).dbsize())


@cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(f"{url}/0", socket_timeout=15)
