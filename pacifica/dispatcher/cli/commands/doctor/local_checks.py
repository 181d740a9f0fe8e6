"""The checks of ``doctor`` on the machine of the service: its configuration, database, schema and broker."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from ....config.load import find_sources
from ....container import Container
from ....core.errors import BrokerUnavailable, ConfigError, DatabaseUnavailable, SchemaMismatch
from ....core.redaction import mask_passwords
from ....delivery.broker_probe import answering_workers, answers, broker_name, greet_broker
from ....delivery.queue_depth import QueueDepth
from ....store.connections import driver_errors
from ....store.connections.connect import check_installed, product, sqlite_file
from ....store.stats import jobs_without_worker
from .checks import Finding, StageVerdict, bad, good, skipped

STAGES = ("configuration", "database", "schema", "broker")
REPAIR: Mapping[str, str] = {
    "missing": "Create it (CREATE DATABASE)",
    "denied": "Give that user access",
    "damaged": "Restore its backup",
}
"""The advice for each kind of database failure; for any other kind, it is to start the database."""
LOOKED_AT = 10_000
"""The most waiting jobs of a state that are looked at."""
GIVE_TASK = (
    "Name the module of the task in [dispatcher] tasks where the worker runs, and restart it. The jobs then run within "
    "1.25 times republish_seconds."
)
"""The advice for a job that no worker can run."""
START_WORKER = "celery -A pacifica.dispatcher.tasks worker -l info"


class LocalChecks:
    """Checks the configuration that is found in this directory, and its servers; changes nothing."""

    def __init__(self, config: Path | None) -> None:
        self._config = config
        self._container: Container | None = None
        self._database_url = ""
        self._database_answers = False
        self._file_is_missing = False

    def run(self) -> Iterator[Finding]:
        """A finding for each of ``STAGES``."""
        yield self._configuration()
        if self._container is not None and self._container.settings.dispatcher.adopt:
            yield self._tasks(self._container)
        if self._container is None:
            yield from (skipped(stage, "the configuration has faults") for stage in STAGES[1:])
            return
        yield self._database(self._container)
        yield self._schema(self._container)
        yield self._broker(self._container)
        if (lacking := self._jobs_without_worker(self._container)) is not None:
            yield lacking

    @property
    def row_queue(self) -> bool:
        """Whether the configuration has no broker, so that workers claim jobs from their rows."""
        return self._container is not None and self._container.row_queue

    def recorded(self, uuid: str) -> Finding:
        """Whether a job that the server accepted is in the database of this configuration."""
        if self._container is None or not (self._database_answers or self._file_is_missing):
            return skipped("recorded", "the database of the configuration does not answer")
        began = time.monotonic()
        try:
            found = self._database_answers and self._container.jobs.get(uuid) is not None
        except DatabaseUnavailable:  # It answered before, so it lacks the table of jobs.
            found = False
        if found:
            return good("recorded", "it is in the database of this configuration", time.monotonic() - began)
        advice = f"The server uses another database than {self._place()}. {self._path_advice()}"
        return bad("recorded", "it is not in the database of this configuration", advice)

    def why_not_taken(self, task: str, queue: str | None) -> str:
        """The likely reason why no worker took the job, by database and broker, and what to do."""
        if self._container is None or not self._database_answers:
            return f"Start a worker: {START_WORKER}"
        wanted = QueueDepth(self._container.app).queue_of(task, queue) or "its queue"
        try:
            known = self._container.workers.names()
            answering = answering_workers(self._container.app, len(known))
        except (BrokerUnavailable, DatabaseUnavailable) as error:
            return str(error)
        broker = broker_name(self._container.app)
        if not answering:
            return _no_answer(known, wanted, broker)
        if not known & set(answering):
            return (
                f"{_listed(answering)} answers at {broker}, but is not registered in this database: it uses another "
                f"database. {self._path_advice()}"
            )
        listening = [worker for worker, queues in answering.items() if wanted in queues]
        if not listening:
            return f"{_listed(answering)} does not listen to queue {wanted}: start one with {START_WORKER} -Q {wanted}"
        return f"{_listed(listening)} listens to queue {wanted}; it may be busy: give the job more time with --timeout."

    def why_unused(self, worker: str) -> str:
        """A sentence if the worker does not answer through the broker of this configuration; empty if it does."""
        if self._container is None or not (worker and self._database_answers):  # The database may be the broker.
            return ""
        try:
            if answers(self._container.app, worker):
                return ""
        except (BrokerUnavailable, DatabaseUnavailable):
            return ""
        return f"server and worker do not use it: worker {worker} does not answer at {broker_name(self._container.app)}"

    def _configuration(self) -> Finding:
        began = time.monotonic()
        try:
            sources = find_sources(self._config)
            settings = sources.settings()
        except ConfigError as error:
            count = len(error.faults)
            message = f"it has {count} fault{'s' * (count > 1)}: {'; '.join(map(str, error.faults))}"
            return bad("configuration", message, "Correct them, and run pacifica-dispatcher-cmd config check.")
        self._container, self._database_url = Container(lambda: settings), settings.database.peewee_url
        where = sources.path or "no file; defaults and environment apply"
        return good("configuration", str(where), time.monotonic() - began)

    def _tasks(self, container: Container) -> Finding:
        """Whether the adopted applications and all their modules can be imported; nothing is checked without tasks."""
        began = time.monotonic()
        try:
            number, missing = len(container.registry), container.app.missing
        except ConfigError as error:
            self._container = None
            return bad("tasks", str(error), "Correct the tasks, and run pacifica-dispatcher-cmd config check.")
        if missing:
            advice = "Correct it, and start server and workers again; doctor --adopt shows all tasks that were found."
            return bad("tasks", "; ".join(map(str, missing)), advice)
        return good("tasks", f"{number} tasks", time.monotonic() - began)

    def _database(self, container: Container) -> Finding:
        file = sqlite_file(self._database_url)
        if file is not None and not file.exists():
            self._file_is_missing = True
            advice = "The server creates it in its working directory when it starts: run doctor there."
            if not file.parent.is_dir():
                advice = "Its directory is missing as well: create it, or correct [database] peewee_url (PEEWEE_URL)."
            return bad("database", f"there is no file {file}", advice)
        try:
            check_installed(self._database_url)
            name = container.database.read(product)
            began = time.monotonic()
            container.database.read(product)
        except ValueError as error:
            return bad("database", f"{error}", "Install the driver.")
        except DatabaseUnavailable as error:
            repair = REPAIR.get(driver_errors.kind(error), "Start it")
            advice = f"{repair}, or correct [database] peewee_url (PEEWEE_URL)."
            return bad("database", f"{self._place()}: {error}", advice)
        self._database_answers = True
        return good("database", f"{name}, {self._place()}", time.monotonic() - began)

    def _schema(self, container: Container) -> Finding:
        if not self._database_answers:
            return skipped("schema", "the database does not answer")
        began = time.monotonic()
        try:
            schema = container.database.schema()
            if schema.untouched:
                return bad("schema", "the database is empty", f"The server uses another one. {self._path_advice()}")
            schema.check()
        except SchemaMismatch as error:
            message, _, advice = str(error).partition(". ")
            return bad("schema", message, advice)
        except DatabaseUnavailable as error:
            return bad("schema", str(error), "Run pacifica-dispatcher-cmd dbchk for the details.")
        return good("schema", f"version {schema.found}, as this release needs it", time.monotonic() - began)

    def _jobs_without_worker(self, container: Container) -> Finding | None:
        """A remark, if jobs wait for a worker that has their task."""
        try:
            found = jobs_without_worker(container.database, limit=LOOKED_AT) if self._database_answers else []
        except DatabaseUnavailable:  # The table of jobs is missing; the stage before says so.
            found = []
        if not found:
            return None
        number = sum(jobs for _, jobs in found)
        names = ", ".join(task for task, _ in found)
        jobs, wait = ("job", "waits") if number == 1 else ("jobs", "wait")
        message = f"{number} {jobs} of {names} came to a worker that lacks the task, and {wait}"
        return Finding("tasks", StageVerdict.REMARK, message, None, GIVE_TASK)

    def _broker(self, container: Container) -> Finding:
        is_database = container.settings.celery["broker_url"].startswith("database:")
        if is_database and not self._database_answers:
            return skipped("broker", "it is the database")
        try:
            return good("broker", broker_name(container.app), greet_broker(container.app))
        except BrokerUnavailable as error:
            start = "The server creates its table when it starts" if is_database else "Start it"
            advice = f"{start}, or correct [celery] broker_url (BROKER_URL)."
            return bad("broker", f"{broker_name(container.app)}: {error}", advice)

    def _place(self) -> str:
        return str(sqlite_file(self._database_url) or mask_passwords(self._database_url))

    def _path_advice(self) -> str:
        """The likely cause of two databases: a relative path for SQLite, else different settings."""
        if sqlite_file(self._database_url) is None:
            return "Compare PEEWEE_URL and [database] peewee_url where server and worker were started."
        return (
            "The path of an SQLite file is relative to the working directory: run doctor, server and worker in the "
            "same directory, or write the absolute path in [database] peewee_url (with four slashes)."
        )


def _no_answer(known: Collection[str], queue: str, broker: str) -> str:
    if not known:
        return (
            f"Start a worker: {START_WORKER}. If a worker is running, it uses another database, or does not listen to "
            f"queue {queue} of {broker}."
        )
    return (
        f"No worker answers at {broker}, but {_listed(known)} is registered in the database: it has ended, or uses "
        "another broker; compare BROKER_URL and [celery] broker_url where it was started."
    )


def _listed(workers: Iterable[str]) -> str:
    names = sorted(workers)
    return ("worker " if len(names) == 1 else "workers ") + ", ".join(names)
