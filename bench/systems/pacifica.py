"""Pacifica Dispatcher itself: its own web server and a Celery worker, on three combinations of record and queue."""

import json
import time
from collections.abc import Sequence
from typing import ClassVar

from ..processes import Command, Group
from ..requesting import Answer, Request
from ..servers import POSTGRESQL, RABBITMQ
from ..stores import postgresql_number, sqlite_number
from .system import PLAIN, Place, Promises, System


class PacificaEmbedded(System):
    """As ``pacifica-dispatcher-cmd up`` starts it: SQLite is record and queue, and no other server is needed."""

    name = "pacifica-embedded"
    title = "Pacifica Dispatcher (SQLite for all)"
    environment = PLAIN
    libraries = ("pacifica-dispatcher", "cherrypy", "cheroot", "celery", "kombu", "peewee")
    logs = "a line for each request, and two for each job (`up` starts its worker with `-l info`)"
    promises = Promises("yes, on disk", "runs again after half a minute", "every transition", "number and types")
    waiting: ClassVar[Request | None] = Request("/dispatch/add/2/2?wait=10", headers={"Accept": "application/json"})
    file = "db.sqlite3"
    options: Sequence[str] = ("-l", "info", "--without-gossip", "--without-mingle", "--without-heartbeat")
    """Of the worker."""

    def database(self, place: Place) -> str:
        """Return the URL of the record."""
        return f"sqliteext:///{place.folder / self.file}"

    def broker(self, place: Place) -> str:
        """Return the lines of ``[celery]``."""
        return "broker_url = database://\n"

    def prepare(self, place: Place, processes: Group) -> None:
        """Write the configuration and create the tables, as docs/operations.md begins."""
        lines = f"[database]\npeewee_url = {self.database(place)}\n[celery]\n{self.broker(place)}"
        lines += "[dispatcher]\nqueues = *\n"
        (place.folder / "config.ini").write_text(lines, encoding="utf-8")
        processes.run(Command("dbsync", [self.environment / "pacifica-dispatcher-cmd", "dbsync"]))
        self.count_from_now()

    def count_from_now(self) -> None:
        """Count only the jobs that are created from now on."""
        self._begin = int(time.time() * 1e6)

    def web(self, place: Place) -> Command:
        return Command("web", [self.environment / "python", "-m", "pacifica.dispatcher", "-p", str(place.port)])

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        celery = [self.environment / "celery", "-q", "-A", "pacifica.dispatcher.tasks", "worker", *self.options]
        return [Command("worker", [*celery, "-n", f"bench-{place.port}@%h", "-c", str(processes)])]

    def finished(self, place: Place) -> int:
        ended = "state IN ('SUCCESS', 'FAILURE', 'REVOKED')"  # Their index has both columns.
        return self.number(place, f"SELECT count(*) FROM job WHERE {ended} AND created >= {self._begin}")

    def number(self, place: Place, statement: str) -> int:
        """Return the number that the statement selects from the record."""
        return sqlite_number(place.folder / self.file, statement)

    def size(self, place: Place) -> int:
        """Return the bytes of the record on disk."""
        return self.number(place, "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")

    def job(self, answer: Answer) -> str:
        return answer.body.decode().strip()

    def batch(self, jobs: int, **options: object) -> Request:
        """Return a request that dispatches so many jobs."""
        body = json.dumps([{"task": "add", "args": [2, 2], "options": options}] * jobs)
        return Request("/dispatch", "POST", {"Content-Type": "application/json"}, body)


class PacificaPostgresql(PacificaEmbedded):
    """PostgreSQL is record and queue."""

    name = "pacifica-postgresql"
    title = "Pacifica Dispatcher (PostgreSQL for all)"
    needs = (POSTGRESQL,)
    libraries = (*PacificaEmbedded.libraries, "psycopg")
    logs = "a line for each request (the project's default), no line for a job (Celery's default level)"
    options = ()

    def database(self, place: Place) -> str:
        return place.postgresql

    def number(self, place: Place, statement: str) -> int:
        return postgresql_number(place.postgresql, statement)

    def size(self, place: Place) -> int:
        return self.number(place, "SELECT pg_database_size(current_database())")


class PacificaRabbitmq(PacificaEmbedded):
    """The default of the three single commands: RabbitMQ and SQLite."""

    name = "pacifica-rabbitmq"
    title = "Pacifica Dispatcher (RabbitMQ, SQLite)"
    needs = (RABBITMQ,)
    logs = PacificaPostgresql.logs
    options = ()

    def broker(self, place: Place) -> str:
        return f"broker_url = {place.env['BENCH_RABBITMQ_URL']}\ntask_default_queue = {place.env['BENCH_QUEUE']}\n"
