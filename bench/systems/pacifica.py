"""Pacifica Dispatcher itself, in the ways in which it is started."""

from collections.abc import Sequence
from contextlib import closing
from typing import ClassVar

import psycopg

from ..processes import Command, Group
from ..requesting import Answer
from ..servers import POSTGRESQL, RABBITMQ
from .commands import node
from .counting import rows
from .system import OURS, PLAIN, Place, System

GUNICORN = "python:pacifica.dispatcher.gunicorn_conf"
APPLICATION = "pacifica.dispatcher.wsgi:application"
LOGS = "a line for each request (the project's default), no line for a job (Celery's default level)"


class Pacifica(System):
    """Under gunicorn with the project's settings; RabbitMQ and SQLite."""

    name = "pacifica"
    title = "Pacifica Dispatcher (RabbitMQ, SQLite)"
    needs = (RABBITMQ,)
    environment = PLAIN
    peer = False
    libraries = ("pacifica-dispatcher", "cherrypy", "cheroot", "gunicorn", "celery", "kombu", "peewee")
    logs = LOGS
    settings: ClassVar[str] = ""
    """More lines for ``config.ini``; those of a section that is there already go into it."""

    def broker(self, place: Place) -> str:
        """The ``broker_url``."""
        return place.told["BENCH_RABBITMQ_URL"]

    def database(self, place: Place) -> str:
        """The ``peewee_url``: the project's default."""
        return "sqliteext:///db.sqlite3"

    def prepare(self, place: Place, processes: Group) -> None:
        """A configuration and the tables, as docs/operations.md begins."""
        queue = f"task_default_queue = {place.told['BENCH_QUEUE']}\n" if "BENCH_QUEUE" in place.told else ""
        config = (
            f"[celery]\nbroker_url = {self.broker(place)}\n{queue}[database]\npeewee_url = {self.database(place)}\n"
        )
        (place.folder / "config.ini").write_text(config + self.settings, encoding="utf-8")
        processes.run(Command("dbsync", [self.environment / "pacifica-dispatcher-cmd", "dbsync"]))

    def web(self, place: Place, processes: int) -> Sequence[Command]:
        """gunicorn."""
        where = ["-b", f"127.0.0.1:{place.port}", "-w", str(processes)]
        return [Command("web", [self.environment / "gunicorn", "-c", GUNICORN, *where, APPLICATION])]

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        """Celery's prefork worker."""
        worker = ["-A", "pacifica.dispatcher.tasks", "worker", *node(place), "-c", str(processes)]
        return [Command("worker", [self.environment / "celery", *worker])]

    def finished(self, place: Place) -> int:
        """Rows in a final state."""
        return rows(place.folder / "db.sqlite3", "job", "finished IS NOT NULL")

    def job(self, answer: Answer) -> str:
        """The bare UUID."""
        return answer.body.decode().strip()


class PacificaSolo(Pacifica):
    """Workers that run each job themselves, as docs/performance.md tells of for many short tasks."""

    name = "pacifica-solo"
    title = "Pacifica Dispatcher, solo workers (RabbitMQ, SQLite)"

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        """That many workers, each one process."""
        worker = [self.environment / "celery", "-A", "pacifica.dispatcher.tasks", "worker", "-P", "solo"]
        names = [f"bench-{place.port}-{number}@%h" for number in range(processes)]
        return [Command(f"worker-{number}", [*worker, "-n", name]) for number, name in enumerate(names)]


class PacificaServer(Pacifica):
    """The same with its own web server (``python -m pacifica.dispatcher``), which is one process."""

    name = "pacifica-server"
    title = "Pacifica Dispatcher, own server (RabbitMQ, SQLite)"
    scales = False

    def web(self, place: Place, processes: int) -> Sequence[Command]:
        """CherryPy's."""
        return [Command("web", self.python("-m", "pacifica.dispatcher", "-p", str(place.port)))]


class PacificaEmbedded(PacificaServer):
    """What ``pacifica-dispatcher-cmd up`` starts: nothing is installed beside, SQLite carries the messages, too."""

    name = "pacifica-embedded"
    title = "Pacifica Dispatcher, embedded (SQLite for all)"
    needs = ()
    logs = "a line for each request, and two for each job (`up` starts its worker with `-l info`)"

    def broker(self, place: Place) -> str:
        """The database."""
        return "database://"

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        """As ``up`` starts it."""
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        worker = [
            "-q",
            "-A",
            "pacifica.dispatcher.tasks",
            "worker",
            "-l",
            "info",
            *quiet,
            *node(place),
            "-c",
            str(processes),
        ]
        return [Command("worker", [self.environment / "celery", *worker])]


class PacificaPostgresql(Pacifica):
    """For several machines: RabbitMQ and PostgreSQL."""

    name = "pacifica-postgresql"
    title = "Pacifica Dispatcher (RabbitMQ, PostgreSQL)"
    needs = (RABBITMQ, POSTGRESQL)
    environment = OURS

    def database(self, place: Place) -> str:
        """A database of its own."""
        return place.told["BENCH_POSTGRESQL_URL"]

    def finished(self, place: Place) -> int:
        """Rows in a final state."""
        with closing(psycopg.connect(place.told["BENCH_POSTGRESQL_URL"], connect_timeout=5)) as connection:
            row = connection.execute("SELECT count(*) FROM job WHERE finished IS NOT NULL").fetchone()
            return int(row[0]) if row else 0
