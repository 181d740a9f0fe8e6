"""Pacifica Dispatcher itself, in the ways in which it is started."""

import time
from collections.abc import Sequence

from ..processes import Command, Group
from ..requesting import Answer
from ..servers import RABBITMQ
from ..stores import Sqlite, Store
from .system import DEVELOPMENT, PLAIN, Place, System

GUNICORN = ("-c", "python:pacifica.dispatcher.gunicorn_conf")
APPLICATION = "pacifica.dispatcher.wsgi:application"


class Pacifica(System):
    """Under gunicorn with the project's settings; RabbitMQ and SQLite."""

    name = "pacifica"
    title = "Pacifica Dispatcher (RabbitMQ, SQLite)"
    needs = (RABBITMQ,)
    environment = PLAIN
    libraries = ("pacifica-dispatcher", "cherrypy", "cheroot", "gunicorn", "celery", "kombu", "peewee")
    logs = "a line for each request (the project's default), no line for a job (Celery's default level)"

    def store(self, place: Place) -> Store:
        """Return its database."""
        return Sqlite(f"sqliteext:///{place.folder / 'db.sqlite3'}")

    def broker(self, place: Place) -> str:
        """Return the lines of ``[celery]``."""
        return f"broker_url = {place.env['BENCH_RABBITMQ_URL']}\ntask_default_queue = {place.env['BENCH_QUEUE']}\n"

    def prepare(self, place: Place, processes: Group) -> None:
        """Write the configuration and create the tables, as docs/operations.md begins."""
        database = f"[database]\npeewee_url = {self.store(place).url}\n"
        (place.folder / "config.ini").write_text(f"{database}[celery]\n{self.broker(place)}", encoding="utf-8")
        processes.run(Command("dbsync", [self.environment / "pacifica-dispatcher-cmd", "dbsync"]))
        self._begin = int(time.time() * 1e6)

    def web(self, place: Place) -> Command:
        where = ["-b", f"127.0.0.1:{place.port}", "-w", "1"]
        return Command("web", [self.environment / "gunicorn", *GUNICORN, *where, APPLICATION])

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        return [self._worker(place, "worker", "-c", str(processes))]

    def _worker(self, place: Place, name: str, *options: str) -> Command:
        node = ["-n", f"bench-{place.port}-{name}@%h"]
        celery = [self.environment / "celery", "-q", "-A", "pacifica.dispatcher.tasks", "worker"]
        return Command(name, [*celery, *node, *options])

    def finished(self, place: Place) -> int:
        return self.store(place).finished(self._begin)

    def job(self, answer: Answer) -> str:
        return answer.body.decode().strip()


class PacificaSolo(Pacifica):
    """Workers that run each job themselves, which docs/performance.md describes for many short tasks."""

    name = "pacifica-solo"
    title = "Pacifica Dispatcher, solo workers (RabbitMQ, SQLite)"

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        return [self._worker(place, f"worker-{number}", "-P", "solo") for number in range(processes)]


class PacificaServer(Pacifica):
    """With its own web server, ``python -m pacifica.dispatcher``."""

    name = "pacifica-server"
    title = "Pacifica Dispatcher, own server (RabbitMQ, SQLite)"

    def web(self, place: Place) -> Command:
        return Command("web", [self.environment / "python", "-m", "pacifica.dispatcher", "-p", str(place.port)])


class PacificaEmbedded(PacificaServer):
    """As ``pacifica-dispatcher-cmd up`` starts it: the database carries the messages, and no other server is needed."""

    name = "pacifica-embedded"
    title = "Pacifica Dispatcher, embedded (SQLite for all)"
    needs = ()
    logs = "a line for each request, and two for each job (`up` starts its worker with `-l info`)"

    def broker(self, place: Place) -> str:
        return "broker_url = database://\n"

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        return [self._worker(place, "worker", "-l", "info", *quiet, "-c", str(processes))]


class PacificaFilled(Pacifica):
    """With a database that holds jobs already, which may be on PostgreSQL."""

    name = "pacifica-filled"
    environment = DEVELOPMENT

    def __init__(self, store: Store) -> None:
        self._store = store

    def store(self, place: Place) -> Store:
        return self._store
