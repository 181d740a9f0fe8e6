"""FastAPI and Celery, with results in SQLite by Celery's own database backend (SQLAlchemy): a durable record, too."""

from collections.abc import Sequence

from ...processes import Command
from ...servers import RABBITMQ
from ..commands import celery_worker, uvicorn
from ..counting import rows
from ..system import Place, System


class FastapiCelerySqlite(System):
    """With results in SQLite."""

    name = "fastapi-celery-sqlite"
    title = "FastAPI + Celery (RabbitMQ, SQLite results)"
    needs = (RABBITMQ,)
    libraries = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "celery", "kombu", "sqlalchemy")
    logs = "no line for a request (`--no-access-log`), no line for a job (Celery's default level)"

    def web(self, place: Place, processes: int) -> Sequence[Command]:
        """Under uvicorn."""
        return uvicorn(place, processes)

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        """Celery's."""
        return celery_worker(place, processes)

    def finished(self, place: Place) -> int:
        """Celery writes one row for each result."""
        return rows(place.folder / "results.sqlite3", "celery_taskmeta", "status = 'SUCCESS'")
