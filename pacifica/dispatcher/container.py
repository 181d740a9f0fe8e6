"""The composition root: builds the parts of a process, each once, when it is first used."""

import logging
import os
from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from .adoption import adopt_all, make_tolerant
from .app import DispatcherApp
from .config.settings import Settings
from .core import failpoints
from .core.errors import BrokerUnavailable, ConfigError, DatabaseUnavailable, MessageRefused, SchemaMismatch
from .core.job import OutboxEntry, new_uuid, now
from .core.registry import Registry
from .core.tracing import Tracing
from .core.waiter import BLOCKING, Waiter
from .delivery.database_transport import DRIVER
from .delivery.publisher import Publisher
from .delivery.queue_depth import QueueDepth
from .delivery.relay import Relay
from .delivery.task_message import target
from .monitoring.health import HealthCheck
from .monitoring.job_log import JobLog
from .monitoring.tracer import tracing
from .service.event_feed import EventFeed
from .service.new_job import HAND_OVER, JobFactory
from .service.tokens import Tokens
from .service.verbs import Service
from .service.waiting import Waiting
from .store.database import Database
from .store.event_counts import EventCountStore
from .store.events import EventStore
from .store.jobs import JobStore
from .store.leader import ElectionStore
from .store.outbox import Outbox
from .store.queue_watch import QueueWatch
from .store.saved_groups import SavedGroupStore
from .store.tokens import TokenStore
from .store.work_queue import WorkQueue
from .store.workers import WorkerStore
from .store.writability import Writability
from .upkeep.event_counter import EventCounter
from .upkeep.leader_election import Election
from .upkeep.lost_jobs import LostJobs
from .upkeep.lost_messages import LostMessages
from .upkeep.maintenance import Upkeep
from .upkeep.pruner import Pruner

if TYPE_CHECKING:
    from .monitoring.web_monitor import WebMonitor
    from .worker.job_writer import JobWriter

logger = logging.getLogger(__name__)

ROUTES = 4096
"""The most targets of jobs, by task, queue and priority, that a process remembers."""


class Container:
    """The parts of a web, worker or command process. Creating a container does no I/O; the first use reads settings.

    ``celery`` is the class of the process's Celery application, unless it is an adopted one; ``waiter`` is how the code
    of the process waits for the database.
    """

    def __init__(
        self, load: Callable[[], Settings], celery: type[DispatcherApp] = DispatcherApp, waiter: Waiter = BLOCKING
    ) -> None:
        self._waiter = waiter
        self._load_settings = load
        self._celery = celery
        self._publisher: tuple[int, Publisher | None] = (0, None)
        self.writer: JobWriter | None = None  # In the main process of a worker.

    @cached_property
    def own_app(self) -> DispatcherApp:
        """An application of the dispatcher's own; making it reads no settings."""
        return self._celery(self)

    @cached_property
    def app(self) -> DispatcherApp:
        """The Celery application of the process: the first that the configuration adopts; raises ``ConfigError``."""
        app, faults = adopt_all(self.settings.dispatcher.adopt, self)
        found = app or self.own_app
        make_tolerant(found.loader)
        found.absent = faults
        if app is None and faults and not self.settings.names_broker:
            raise ConfigError(faults)  # Without it, the broker is not known: messages would go to another one.
        return found

    @cached_property
    def settings(self) -> Settings:
        """The configuration; raises ``ConfigError``."""
        return self._load_settings()

    @cached_property
    def row_queue(self) -> bool:
        """Whether workers claim jobs from their rows: the broker is ``database://``, and no relay sends messages."""
        return bool(self.app.connection_for_write().get_transport_cls().driver_name == DRIVER)

    @cached_property
    def database(self) -> Database:
        """The record's database, which connects when it is first used."""
        own = self.settings.database
        return Database(own.peewee_url, own.busy_timeout, own.answer_timeout, self._waiter)

    @property
    def registry(self) -> Registry:
        """The dispatchable tasks; raises ``ConfigError``."""
        return self.app.registry

    @cached_property
    def _job_log(self) -> JobLog:
        return JobLog(lambda uuid: self.jobs.get(uuid))  # noqa: PLW0108 - the jobs need the log first

    @cached_property
    def jobs(self) -> JobStore:
        """The job rows."""
        own = self.settings.dispatcher
        return JobStore(
            self.database,
            durable=own.dispatch_synchronous == "full",
            reports_durable=own.report_synchronous == "full",
            on_event=self._job_log,
            row_queue=self.row_queue,
        )

    @cached_property
    def work_queue(self) -> WorkQueue:
        """The jobs as workers see them."""
        own = self.settings.dispatcher
        return WorkQueue(
            self.database,
            durable=own.dispatch_synchronous == "full",
            reports_durable=own.report_synchronous == "full",
            on_event=self._job_log,
            row_queue=self.row_queue,
        )

    @cached_property
    def queue_watch(self) -> QueueWatch:
        """Wakes the thread of a worker that claims jobs."""
        return QueueWatch(self.database)

    @cached_property
    def outbox(self) -> Outbox:
        """The jobs that wait to be published."""
        return Outbox(self.database, on_event=self._job_log)

    @cached_property
    def _history(self) -> EventStore:
        return EventStore(self.database)

    @cached_property
    def event_counts(self) -> EventCountStore:
        """The counts of events, for the metrics."""
        return EventCountStore(self.database)

    @cached_property
    def saved_groups(self) -> SavedGroupStore:
        """Celery's saved groups of jobs."""
        return SavedGroupStore(self.database)

    @cached_property
    def workers(self) -> WorkerStore:
        """The workers' heartbeats."""
        return WorkerStore(self.database)

    @cached_property
    def tokens(self) -> Tokens:
        """The bearer tokens."""
        return Tokens(TokenStore(self.database))

    @cached_property
    def holder(self) -> str:
        """The id under which this worker holds its jobs, unique among all processes."""
        return new_uuid()

    @cached_property
    def pruner(self) -> Pruner:
        """Purges old jobs, by the settings in ``[retention]``."""
        return Pruner(self.database, self.settings.retention)

    @cached_property
    def upkeep(self) -> Upkeep:
        """The periodic duties for lost, expired and old jobs; once started, they run in a thread."""
        own = self.settings.dispatcher
        return Upkeep(
            self.jobs,
            election=Election(ElectionStore(self.database, "upkeep"), lease=own.lease_seconds),
            lost_jobs=LostJobs(self.workers, self.work_queue, lease=own.lease_seconds),
            lost_messages=LostMessages(self.outbox, QueueDepth(self.app), republish=own.republish_seconds),
            event_counter=EventCounter(self.event_counts),
            pruner=self.pruner,
            interval=own.lease_seconds / 6,
            keep_keys=own.idempotency_seconds,
        )

    @cached_property
    def tracing(self) -> Tracing:
        """Creates spans if the environment enables them."""
        return tracing(os.environ, self.app.connection_for_write().get_transport_cls().driver_type)

    @property
    def publisher(self) -> Publisher:
        """Publishes messages in the calling thread.

        A forked process gets a new one, because a broker connection that two processes share doubles messages.
        """
        made_by, publisher = self._publisher
        if publisher is None or made_by != os.getpid():
            publisher = Publisher(self.app)
            self._publisher = os.getpid(), publisher
        return publisher

    @cached_property
    def relay(self) -> Relay:
        """Publishes the outbox over its own connection to the broker; once started, in a thread."""
        own = self.settings.dispatcher
        publisher = Publisher(self.app)
        return Relay(
            self.outbox, publisher.publish, publisher.greet, interval=own.relay_interval, batch=own.relay_batch
        )

    @cached_property
    def feed(self) -> EventFeed:
        """Notifies waiting requests of new events."""
        watch = (lambda: QueueWatch(self.database)) if self.database.sqlite else None
        return EventFeed(self._history, self.settings.dispatcher.waiters, self._waiter, watch)

    @cached_property
    def _writability(self) -> Writability:
        return Writability(self.database)

    @cached_property
    def monitor(self) -> "WebMonitor":
        """Health and metrics of a web process; other processes do not import these modules."""
        from .monitoring.metrics.multiprocess import FOLDER
        from .monitoring.web_monitor import WebMonitor

        lease = self.settings.dispatcher.lease_seconds
        relay = None if self.row_queue else lambda: self.relay
        health = HealthCheck(
            self.outbox, self.workers, relay, self._state_of_database, lease, missing=lambda: self.app.missing
        )
        folder = os.environ.get(FOLDER)
        return WebMonitor(
            health,
            self.database,
            self.event_counts,
            self.outbox,
            tasks=self.registry,
            folder=Path(folder).absolute() if folder else None,
        )

    @cached_property
    def _waiting(self) -> Waiting:
        own = self.settings.dispatcher
        return Waiting(self.jobs, self._history, self.feed, heartbeat=own.heartbeat_seconds, limit=own.wait_limit)

    @cached_property
    def new_jobs(self) -> JobFactory:
        """Makes the jobs of accepted requests."""
        own = self.settings.dispatcher
        return JobFactory(
            own.max_attempts,
            own.idempotency_seconds,
            route=lru_cache(ROUTES)(partial(target, self.app)),
            hand_over=0 if self.row_queue else HAND_OVER,
        )

    @cached_property
    def service(self) -> Service:
        """The verbs for HTTP callers; unless rows are the queue, the relay publishes the accepted jobs."""
        return self._service(_keep if self.row_queue else self.relay.hand_over, self.monitor.counts.dispatched)

    @cached_property
    def python_service(self) -> Service:
        """The verbs for Python callers, which publish the message themselves."""
        return self._service(_keep, lambda _task, _outcome: None)

    def prepare(self, *, patient: bool = True) -> None:
        """Create the tables of an empty database; with ``patient``, wait for a database that is not up yet.

        Raises ``DatabaseUnavailable``, and ``SchemaMismatch`` for tables of another version.
        """
        failpoints.arm(os.environ)
        own = self.settings.database
        self.database.wait_until_up(own.connect_attempts if patient else 1, own.connect_wait)

    def count_events(self) -> None:
        """Count the failures, waiters and publishes of this web process from now on."""
        counts = self.monitor.counts
        counts.places(self.feed.places)

        def failed(kind: str) -> None:
            counts.database_failed(kind)
            self._writability.note(kind)

        self.database.on_failure = failed
        self.feed.on_change = counts.waiting
        self.relay.on_publish = counts.published

    def _state_of_database(self) -> str:
        """``ok``, or a sentence on how the tables differ; raises ``DatabaseUnavailable``."""
        try:
            self.database.schema().check()
        except SchemaMismatch as error:
            return str(error)
        self._writability.check()
        return "ok"

    def publish_now(self, job: OutboxEntry) -> None:
        """Publish in the calling thread, unless rows are the queue.

        A job that cannot be published stays in the outbox, and is due at once: the relay of any process then sends
        it, or a worker of ``database://`` claims it.
        """
        if self.row_queue:
            return
        try:
            try:
                self.publisher.publish([job])
            except (BrokerUnavailable, MessageRefused) as error:
                logger.warning("Job %s waits in the outbox: %s", job.uuid, error)
                self.outbox.release([job], at=now())
            else:
                self.outbox.mark_published([job], at=now())
        except DatabaseUnavailable as error:
            logger.warning("Job %s stays in the outbox for a moment: %s", job.uuid, error)

    def _service(self, hand_over: Callable[[OutboxEntry], None], count: Callable[[str, str], object]) -> Service:
        own = self.settings.dispatcher
        return Service(
            registry=self.registry,
            jobs=self.jobs,
            waiting=self._waiting,
            new_jobs=self.new_jobs,
            batch_limit=own.batch_limit,
            hand_over=hand_over,
            count=count,
        )


def _keep(_: OutboxEntry) -> None:
    """Leave a job to the worker that claims its row, or to the one who publishes it."""
