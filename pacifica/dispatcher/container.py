"""The composition root: the parts of one process, each built once, when it is first used."""

import logging
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .app import DispatcherApp
from .config.settings import Settings
from .core import failpoints
from .core.errors import BrokerUnavailable, DatabaseUnavailable, MessageRefused, SchemaMismatch
from .core.job import Job, OutboxEntry, new_uuid, now
from .core.registry import Registry
from .core.tracing import Tracing
from .delivery.publisher import Publisher
from .delivery.queue_depth import QueueDepth
from .delivery.relay import Relay
from .monitoring.health import HealthCheck
from .monitoring.job_log import JobLog
from .monitoring.tracer import tracing
from .service.event_feed import EventFeed
from .service.new_job import JobFactory
from .service.tokens import Tokens
from .service.verbs import Service
from .service.waiting import Waiting
from .store.database import Database
from .store.event_counts import EventCountStore
from .store.events import HistoryStore
from .store.jobs import JobStore
from .store.leader import ElectionStore
from .store.outbox import Outbox
from .store.tokens import TokenStore
from .store.workers import WorkerStore
from .upkeep.event_counter import EventCounter
from .upkeep.leader_election import Election
from .upkeep.lost_jobs import LostJobs
from .upkeep.lost_messages import LostMessages
from .upkeep.maintenance import Upkeep
from .upkeep.pruner import Pruner

if TYPE_CHECKING:
    from .monitoring.web_monitor import WebMonitor

logger = logging.getLogger(__name__)


class Container:
    """The parts of one web, worker or command process. Building one does no I/O: settings are read on first use.

    ``app`` is the Celery application of the process, made of the class ``celery``.
    """

    def __init__(self, load: Callable[[], Settings], celery: type[DispatcherApp] = DispatcherApp) -> None:
        self._load_settings = load
        self._publisher: tuple[int, Publisher | None] = (0, None)
        self.app = celery(self)

    @cached_property
    def settings(self) -> Settings:
        """The configuration; raises ``ConfigError``."""
        return self._load_settings()

    @cached_property
    def database(self) -> Database:
        """The record's database, not connected before it is used."""
        own = self.settings.database
        return Database(own.peewee_url, own.busy_timeout, own.answer_timeout)

    @property
    def registry(self) -> Registry:
        """The dispatchable tasks; raises ``ConfigError``."""
        return self.app.registry

    @cached_property
    def _job_log(self) -> JobLog:
        return JobLog(self._read_job)

    def _read_job(self, uuid: str) -> Job | None:
        return self.jobs.get(uuid)

    @cached_property
    def jobs(self) -> JobStore:
        """The job rows."""
        own = self.settings.dispatcher
        return JobStore(
            self.database,
            durable=own.dispatch_synchronous == "full",
            reports_durable=own.report_synchronous == "full",
            on_event=self._job_log,
        )

    @cached_property
    def outbox(self) -> Outbox:
        """The jobs that wait to be published."""
        return Outbox(self.database, on_event=self._job_log)

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
        """The id under which this worker holds its jobs; no two processes ever share one."""
        return new_uuid()

    @cached_property
    def pruner(self) -> Pruner:
        """Purges old jobs, by the settings in ``[retention]``."""
        return Pruner(self.database, self.settings.retention)

    @cached_property
    def upkeep(self) -> Upkeep:
        """The periodic duties for lost, expired and forgotten jobs, in a thread once it is started."""
        own = self.settings.dispatcher
        return Upkeep(
            self.jobs,
            election=Election(ElectionStore(self.database, "upkeep"), lease=own.lease_seconds),
            lost_jobs=LostJobs(self.workers, self.jobs, lease=own.lease_seconds),
            lost_messages=LostMessages(self.outbox, QueueDepth(self.app), republish=own.republish_seconds),
            event_counter=EventCounter(EventCountStore(self.database)),
            pruner=self.pruner,
            interval=own.lease_seconds / 6,
            keep_keys=own.idempotency_seconds,
        )

    @cached_property
    def tracing(self) -> Tracing:
        """Makes spans if the environment asks for them."""
        return tracing(os.environ, self.app.connection_for_write().get_transport_cls().driver_type)

    @property
    def publisher(self) -> Publisher:
        """Sends messages from the thread that calls it.

        Each process has its own, however it was forked: a broker connection from before a fork doubles messages.
        """
        made_by, publisher = self._publisher
        if publisher is None or made_by != os.getpid():
            publisher = self._new_publisher()
            self._publisher = os.getpid(), publisher
        return publisher

    @cached_property
    def relay(self) -> Relay:
        """Publishes the outbox, in a thread once it is started."""
        own = self.settings.dispatcher
        broker = self._new_publisher()
        return Relay(self.outbox, broker.publish, broker.greet, interval=own.relay_interval, batch=own.relay_batch)

    @cached_property
    def feed(self) -> EventFeed:
        """Notifies waiting requests of new events."""
        return EventFeed(HistoryStore(self.database), self.settings.dispatcher.waiters)

    @cached_property
    def monitor(self) -> "WebMonitor":
        """Health and metrics of a web process; no other process imports this part."""
        from .monitoring.metrics.multiprocess import FOLDER
        from .monitoring.web_monitor import WebMonitor

        lease = self.settings.dispatcher.lease_seconds
        health = HealthCheck(self.outbox, self.workers, lambda: self.relay, lambda: _schema(self.database), lease)
        folder = os.environ.get(FOLDER)
        return WebMonitor(
            health,
            self.database,
            EventCountStore(self.database),
            self.outbox,
            tasks=self.registry,
            folder=Path(folder) if folder else None,
        )

    @cached_property
    def service(self) -> Service:
        """The verbs for HTTP callers: an accepted job goes to the relay, which publishes it."""
        return self._service(self.relay.hand_over, self.monitor.counts.dispatched)

    @cached_property
    def python_service(self) -> Service:
        """The verbs for Python callers, who publish the message themselves."""
        return self._service(lambda _: None, lambda _task, _outcome: None)

    def prepare(self, *, patient: bool = True) -> None:
        """Create an empty database's tables; ``patient`` waits for a database that is not up yet.

        Raises ``DatabaseUnavailable``, and ``SchemaMismatch`` for tables of another version.
        """
        failpoints.arm(os.environ)
        own = self.settings.database
        self.database.wait_until_up(own.connect_attempts if patient else 1, own.connect_wait)

    def count_events(self) -> None:
        """Have this web process count its failures, waiters and publishes."""
        counts = self.monitor.counts
        counts.places(self.feed.places)
        self.database.on_failure = counts.database_failed
        self.feed.on_change = counts.waiting
        self.relay.on_publish = counts.published

    def publish_now(self, job: OutboxEntry) -> None:
        """Publish in the calling thread; a job that the broker does not take now stays in the outbox."""
        try:
            self.publisher.publish([job])
            self.outbox.mark_published([job], at=now())
        except (BrokerUnavailable, DatabaseUnavailable, MessageRefused) as error:
            logger.warning("Job %s waits in the outbox: %s", job.uuid, error)

    def _new_publisher(self) -> Publisher:
        return Publisher(self.app)

    def _service(self, hand_over: Callable[[OutboxEntry], None], count: Callable[[str, str], object]) -> Service:
        own = self.settings.dispatcher
        return Service(
            registry=self.registry,
            jobs=self.jobs,
            waiting=Waiting(
                self.jobs, HistoryStore(self.database), self.feed, heartbeat=own.heartbeat_seconds, limit=own.wait_limit
            ),
            new_jobs=JobFactory(own.max_attempts, own.idempotency_seconds),
            batch_limit=own.batch_limit,
            hand_over=hand_over,
            count=count,
        )


def _schema(database: Database) -> str:
    """``ok``, or a sentence about the difference of the tables; raises ``DatabaseUnavailable``."""
    try:
        database.schema().check()
    except SchemaMismatch as error:
        return str(error)
    return "ok"
