"""The peers that keep each job in a table of PostgreSQL or SQLite. README.md says how each is set up, and why."""

from collections.abc import Sequence

from ..processes import Command, Group
from ..servers import POSTGRESQL
from ..stores import postgresql_number, sqlite_number
from .peers import FASTAPI, NO_ACCESS_LOG, Fastapi
from .system import PEERS, Place, Promises


class FastapiProcrastinate(Fastapi):
    """Two workers with ten asynchronous jobs each."""

    name = "fastapi-procrastinate"
    title = "FastAPI + Procrastinate (PostgreSQL)"
    needs = (POSTGRESQL,)
    libraries = (*FASTAPI, "procrastinate", "psycopg")
    logs = f"{NO_ACCESS_LOG} (`--no-access-log`) or a job (`--log-level warning`; its default is several for each)"
    promises = Promises("yes, on disk", "stays `doing` until the user's own code retries it", "every transition", "no")
    ended = "succeeded"
    result = None

    def prepare(self, place: Place, processes: Group) -> None:
        """Create the tables."""
        processes.run(Command("schema", [PEERS / "procrastinate", "--app", "work.app", "schema", "--apply"]))

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        command = [PEERS / "procrastinate", "--app", "work.app", "--log-level", "warning", "worker", "-c", "10"]
        return [Command(f"worker-{number}", command) for number in range(processes)]

    def finished(self, place: Place) -> int:
        return postgresql_number(place.postgresql, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'")


class FastapiPgqueuer(Fastapi):
    """A worker reports in batches, at the latest every 100 ms, for which a client waits."""

    name = "fastapi-pgqueuer"
    title = "FastAPI + PgQueuer (PostgreSQL)"
    needs = (POSTGRESQL,)
    libraries = (*FASTAPI, "pgqueuer", "asyncpg")
    logs = f"{NO_ACCESS_LOG} (`--no-access-log`) or a job (default level)"
    promises = Promises("yes, on disk", "runs again after 30 s", "every transition", "no")
    ended = "successful"
    result = None

    def prepare(self, place: Place, processes: Group) -> None:
        """Create the tables."""
        processes.run(Command("schema", [PEERS / "pgq", "--pg-dsn", place.postgresql, "install"]))

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        command = [PEERS / "python", "-m", "work"]
        return [Command(f"worker-{number}", command) for number in range(processes)]

    def finished(self, place: Place) -> int:
        return postgresql_number(place.postgresql, "SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'")


class FastapiDbosPostgresql(Fastapi):
    """Its workers look every 10 ms (``polling_interval_sec``); the default is a second."""

    name = "fastapi-dbos-postgresql"
    title = "FastAPI + DBOS (PostgreSQL)"
    needs = (POSTGRESQL,)
    libraries = (*FASTAPI, "dbos", "sqlalchemy", "psycopg")
    source = "fastapi_dbos"
    logs = f"{NO_ACCESS_LOG} (`--no-access-log`) or a job (`log_level` WARNING)"
    promises = Promises(
        "yes, on disk", "runs again when a worker with the same number starts", "one row, with the steps", "no"
    )

    def prepare(self, place: Place, processes: Group) -> None:
        """Create the tables."""
        processes.run(Command("schema", [PEERS / "dbos", "migrate", "--sys-db-url", self.database(place)]))

    def database(self, place: Place) -> str:
        """Return the URL of its tables."""
        return place.postgresql

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        return [
            Command(f"worker-{number}", [PEERS / "python", "-m", "work", str(number)]) for number in range(processes)
        ]

    def finished(self, place: Place) -> int:
        return postgresql_number(place.postgresql, "SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'")


class FastapiDbosSqlite(FastapiDbosPostgresql):
    """The same with SQLite, which DBOS recommends for development."""

    name = "fastapi-dbos-sqlite"
    title = "FastAPI + DBOS (SQLite)"
    needs = ()

    def database(self, place: Place) -> str:
        return "sqlite:///dbos.sqlite3"

    def finished(self, place: Place) -> int:
        return sqlite_number(
            place.folder / "dbos.sqlite3", "SELECT count(*) FROM workflow_status WHERE status = 'SUCCESS'"
        )
