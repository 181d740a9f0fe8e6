"""The Celery application: Celery's own, with the record and the service behind it."""

import importlib.metadata
import logging
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery, signals
from celery.utils.imports import import_from_cwd
from kombu.connection import Connection

from .config.ini import PlaceFault
from .config.settings import Settings
from .core import failpoints
from .core.arguments import ArgumentLimits
from .core.errors import (
    BrokerUnavailable,
    ConfigError,
    ConfigFault,
    DatabaseUnavailable,
    MessageRefused,
    SchemaMismatch,
)
from .core.job import OutboxEntry, new_uuid, now
from .core.registry import Registry
from .core.tracing import Tracing
from .delivery.database_transport import DRIVER
from .delivery.publisher import TRANSPORT_OPTIONS, Depth, Publisher, closes_in_any_case
from .delivery.relay import Relay
from .monitoring.health import Health
from .monitoring.job_log import ToldJobs, ToldOutbox
from .monitoring.tracer import tracing
from .service.event_feed import EventFeed
from .service.tokens import Tokens
from .service.verbs import Service
from .service.waiting import Waiting
from .store.database import Database
from .store.events import HistoryStore
from .store.jobs import JobStore
from .store.leader import ElectionStore
from .store.outbox import Outbox
from .store.stats import FigureStore
from .store.tokens import TokenStore
from .store.workers import WorkerStore
from .upkeep.leader_election import Election
from .upkeep.maintenance import Upkeep
from .upkeep.pruner import Retention
from .worker.task import DispatcherTask

if TYPE_CHECKING:
    from .monitoring.monitor import Monitor

logger = logging.getLogger(__name__)

TASK_ENTRY_POINTS = "pacifica.dispatcher.tasks"
DEFAULTS: Mapping[str, Any] = {
    "broker_connection_max_retries": None,
    "broker_connection_retry_on_startup": True,
    "broker_connection_timeout": 2,
    "broker_pool_acquire_timeout": 5,
    "task_default_queue": "dispatcher",
    "task_publish_retry": False,
    "task_queue_max_priority": 9,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_prefetch_multiplier": 4,
}
"""Where the dispatcher's default differs from Celery's; ``[celery]`` in the configuration may say otherwise."""
FIXED: Mapping[str, Any] = {
    "accept_content": ["json"],
    "result_accept_content": ["json"],
    "result_serializer": "json",
    "task_acks_late": True,
    "task_ignore_result": False,
    "task_protocol": 2,
    "task_serializer": "json",
    "task_track_started": False,
}
"""What the design rests on: nothing is ever unpickled, and a worker's claim says that a job started."""

STEPS = (
    ("worker", "pacifica.dispatcher.worker.bootsteps:RecordStep"),
    ("worker", "pacifica.dispatcher.worker.bootsteps:LeaseStep"),
    ("worker", "pacifica.dispatcher.worker.bootsteps:SparingStep"),
    ("consumer", "pacifica.dispatcher.worker.deliveries:DeliveriesStep"),
)
"""What a worker starts beside Celery's own steps; by name, as no other process imports it."""


class DispatcherApp(Celery):  # type: ignore[misc]
    """Celery's application, which also assembles the dispatcher; reads its settings when first used.

    Everything it holds is made once and kept: settings, database, registry, service.
    """

    def __init__(self, load: Callable[[], Settings]) -> None:
        super().__init__(
            "pacifica.dispatcher",
            backend="pacifica.dispatcher.worker.result_backend:PeeweeBackend",
        )
        self._load_settings = load
        self._publisher: tuple[int, Publisher | None] = (0, None)
        self.add_defaults(self._celery_settings)
        signals.import_modules.connect(self._import_tasks, sender=self)
        for blueprint, step in STEPS:
            self.steps[blueprint].add(step)

    @cached_property
    def settings(self) -> Settings:
        """The configuration; raises ``ConfigError``."""
        return self._load_settings()

    @cached_property
    def database(self) -> Database:
        """The record's database, not connected before it is used."""
        own = self.settings.database
        return Database(own.peewee_url, own.busy_timeout, own.answer_timeout)

    @cached_property
    def registry(self) -> Registry:
        """The dispatchable tasks of all modules that the configuration names; raises ``ConfigError``."""
        self.loader.import_default_modules()
        self.finalize()
        own = self.settings.dispatcher
        limits = ArgumentLimits(own.arguments_limit, own.arguments_bytes)
        return Registry([task.spec(limits) for task in self.tasks.values() if isinstance(task, DispatcherTask)])

    @cached_property
    def jobs(self) -> JobStore:
        """The job rows."""
        own = self.settings.dispatcher
        return ToldJobs(
            self.database,
            durable=own.dispatch_synchronous == "full",
            reports_durable=own.report_synchronous == "full",
        )

    @cached_property
    def outbox(self) -> Outbox:
        """The jobs that wait to be published."""
        return ToldOutbox(self.database)

    @cached_property
    def workers(self) -> WorkerStore:
        """The workers' leases."""
        return WorkerStore(self.database)

    @cached_property
    def tokens(self) -> Tokens:
        """The bearer tokens."""
        return Tokens(TokenStore(self.database))

    @cached_property
    def holder(self) -> str:
        """The name of this worker's lease: no two processes that were ever started share one."""
        return new_uuid()

    @cached_property
    def retention(self) -> Retention:
        """How long jobs are kept, and their purge."""
        return Retention(self.database, self.settings.retention)

    @cached_property
    def upkeep(self) -> Upkeep:
        """Looks after lost, expired and forgotten jobs in a thread of its own, once it is started."""
        own = self.settings.dispatcher
        return Upkeep(
            self.jobs,
            self.outbox,
            self.workers,
            Depth(self),
            retention=self.retention,
            election=Election(ElectionStore(self.database, "upkeep"), lease=own.lease_seconds),
            lease=own.lease_seconds,
            interval=own.lease_seconds / 6,
            republish=own.republish_seconds,
            keep_keys=own.idempotency_seconds,
        )

    @cached_property
    def tracing(self) -> Tracing:
        """Makes spans, where the environment asks for them."""
        return tracing(os.environ, self.connection_for_write().get_transport_cls().driver_type)

    @property
    def publisher(self) -> Publisher:
        """Sends messages from the thread that calls it.

        Each process has its own, however it was forked: a broker connection from before a fork doubles messages.
        """
        made_by, publisher = self._publisher
        if publisher is None or made_by != os.getpid():
            publisher = Publisher(self)
            self._publisher = os.getpid(), publisher
        return publisher

    @cached_property
    def relay(self) -> Relay:
        """Publishes the outbox in a thread of its own, once it is started."""
        own = self.settings.dispatcher
        broker = Publisher(self)
        return Relay(self.outbox, broker.publish, broker.greet, interval=own.relay_interval, batch=own.relay_batch)

    @cached_property
    def feed(self) -> EventFeed:
        """Tells waiting requests of what has happened."""
        return EventFeed(HistoryStore(self.database), self.settings.dispatcher.waiters)

    @cached_property
    def monitor(self) -> "Monitor":
        """What this web process tells of itself and of the record; no other process has one, nor imports it."""
        from .monitoring.metrics.multiprocess import FOLDER
        from .monitoring.monitor import Monitor

        figures = FigureStore(self.database)
        lease = self.settings.dispatcher.lease_seconds
        health = Health(self.outbox, self.workers, lambda: self.relay, lambda: _schema(self.database), lease)
        folder = os.environ.get(FOLDER)
        return Monitor(health, figures, self.outbox, self.registry, Path(folder) if folder else None)

    @cached_property
    def service(self) -> Service:
        """The verbs, with accepted jobs handed to the relay."""
        return self._service(self.relay.hand_over, self.monitor.counts.dispatched)

    @cached_property
    def quiet_service(self) -> Service:
        """The verbs for Python callers, who send the message themselves."""
        return self._service(lambda _: None, lambda _task, _outcome: None)

    def prepare(self, *, patient: bool = True) -> None:
        """Create an empty database's tables, waiting for one that is not up yet.

        Raises ``DatabaseUnavailable``, and ``SchemaMismatch`` for tables of another version.
        """
        failpoints.arm(os.environ)
        own = self.settings.database
        self.database.wait_until_up(own.connect_attempts if patient else 1, own.connect_wait)

    def watch(self) -> None:
        """Have this web process count what happens in it; raises ``DatabaseUnavailable``."""
        counts = self.monitor.counts
        counts.places(self.feed.places)
        self.database.on_failure = counts.database_failed
        self.feed.on_change = counts.waiting
        self.relay.on_publish = counts.published
        self.monitor.begin()

    def send_now(self, job: OutboxEntry) -> None:
        """Publish in the calling thread; what the broker does not take now stays in the outbox, which is no error."""
        try:
            self.publisher.publish([job])
            self.outbox.mark_published([job], at=now())
        except (BrokerUnavailable, DatabaseUnavailable, MessageRefused) as error:
            logger.warning("Job %s waits in the outbox: %s", job.uuid, error)

    def _service(self, hand_over: Callable[[OutboxEntry], None], count: Callable[[str, str], object]) -> Service:
        own = self.settings.dispatcher
        return Service(
            registry=self.registry,
            jobs=self.jobs,
            outbox=self.outbox,
            waiting=Waiting(
                self.jobs, HistoryStore(self.database), self.feed, heartbeat=own.heartbeat_seconds, limit=own.wait_limit
            ),
            max_attempts=own.max_attempts,
            keep_keys=own.idempotency_seconds,
            batch_limit=own.batch_limit,
            hand_over=hand_over,
            count=count,
        )

    def _celery_settings(self) -> Mapping[str, Any]:
        own = self.settings.celery
        # Quorum queues have no x-max-priority, and refuse to be declared with one.
        quorum = {"task_queue_max_priority": None} if own.get("task_default_queue_type") == "quorum" else {}
        return {**DEFAULTS, **quorum, **own, **FIXED}

    def _import_tasks(self, **_: Any) -> None:
        import_from_cwd("pacifica.dispatcher.worker.builtin_tasks")
        faults: list[ConfigFault] = []
        for entry_point in importlib.metadata.entry_points(group=TASK_ENTRY_POINTS):
            try:
                entry_point.load()
            except (ImportError, AttributeError) as error:
                where = f"entry point {entry_point.value}"
                faults.append(PlaceFault("", "", where, f"it cannot be loaded: {error}"))
        for module in self.settings.dispatcher.tasks:
            try:
                import_from_cwd(module)
            except ImportError as error:
                faults.append(ConfigFault("dispatcher", "tasks", module, f"it cannot be imported: {error}"))
        if faults:
            raise ConfigError(faults)

    def _connection(self, url: Any, *args: Any, transport_options: Any = None, **kwargs: Any) -> Connection:
        """Every broker connection, with the options that its kind of broker needs and the user's over them."""
        connection: Connection = super()._connection(url, *args, transport_options=transport_options, **kwargs)
        transport = connection.get_transport_cls()
        driver = transport.driver_type
        if transport.driver_name == DRIVER:
            own: Mapping[str, Any] = {"database": self.database}
        else:
            own = TRANSPORT_OPTIONS.get(driver, {})
        connection.transport_options = dict(own) | (connection.transport_options or {})
        if driver == "redis":
            closes_in_any_case(connection)
        return connection


def _schema(database: Database) -> str:
    """``ok``, or what is wrong with the tables, as a sentence; raises ``DatabaseUnavailable``."""
    try:
        database.schema().check()
    except SchemaMismatch as error:
        return str(error)
    return "ok"
