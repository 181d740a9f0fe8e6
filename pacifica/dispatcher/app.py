"""The Celery application: its settings, its tasks, its result backend and the steps of its workers."""

import importlib.metadata
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol

from celery import Celery, signals
from celery.utils.imports import import_from_cwd
from kombu.connection import Connection

from .config.ini import PlaceFault
from .config.settings import Settings
from .core.arguments import ArgumentLimits
from .core.errors import ConfigError
from .core.faults import ConfigFault
from .core.registry import Registry
from .delivery.broker_connection import TRANSPORT_OPTIONS, tolerate_lost_redis
from .delivery.database_transport import DRIVER
from .store.database import Database
from .worker.task import DispatcherTask

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
"""Where the dispatcher's default differs from Celery's; ``[celery]`` in the configuration may override it."""
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
"""Settings that the design depends on: nothing is unpickled, and a worker's claim records that a job started."""

STEPS = (
    ("worker", "pacifica.dispatcher.worker.bootsteps:RecordStep"),
    ("worker", "pacifica.dispatcher.worker.bootsteps:HeartbeatStep"),
    ("consumer", "pacifica.dispatcher.worker.amqp_reader:ReadStep"),
)
"""The steps that a worker adds to Celery's own, by name, so that no other process imports them."""


class Parts(Protocol):
    """The parts of the container that the application needs."""

    @property
    def settings(self) -> Settings:
        """The configuration; raises ``ConfigError``."""

    @property
    def database(self) -> Database:
        """The record's database."""


class DispatcherApp(Celery):  # type: ignore[misc]
    """The Celery application of a process; it reads its settings when Celery first uses them.

    Tasks and worker steps find the parts of the process in ``container``, as Celery gives them only the application.
    """

    def __init__(self, container: Parts) -> None:
        super().__init__(
            "pacifica.dispatcher",
            backend="pacifica.dispatcher.worker.result_backend:PeeweeBackend",
        )
        self.container = container
        self.add_defaults(self._celery_settings)
        signals.import_modules.connect(self._import_tasks, sender=self)
        for blueprint, step in STEPS:
            self.steps[blueprint].add(step)

    @cached_property
    def registry(self) -> Registry:
        """The dispatchable tasks of all modules that the configuration names; raises ``ConfigError``."""
        self.loader.import_default_modules()
        self.finalize()
        own = self.container.settings.dispatcher
        limits = ArgumentLimits(own.arguments_limit, own.arguments_bytes)
        return Registry([task.spec(limits) for task in self.tasks.values() if isinstance(task, DispatcherTask)])

    def _celery_settings(self) -> Mapping[str, Any]:
        own = self.container.settings.celery
        # Quorum queues have no x-max-priority, and refuse to be declared with one.
        quorum = {"task_queue_max_priority": None} if own.get("task_default_queue_type") == "quorum" else {}
        return {**DEFAULTS, **quorum, **own, **FIXED}

    def _import_tasks(self, **_: Any) -> None:
        import_from_cwd("pacifica.dispatcher.worker.builtin_tasks")
        faults = [*_entry_point_faults(), *_module_faults(self.container.settings.dispatcher.tasks)]
        if faults:
            raise ConfigError(faults)

    def _connection(self, url: Any, *args: Any, transport_options: Any = None, **kwargs: Any) -> Connection:
        """A broker connection with the options that its kind of broker needs; the user's options override them."""
        connection: Connection = super()._connection(url, *args, transport_options=transport_options, **kwargs)
        transport = connection.get_transport_cls()
        driver = transport.driver_type
        if transport.driver_name == DRIVER:
            own: Mapping[str, Any] = {"database": self.container.database}
        else:
            own = TRANSPORT_OPTIONS.get(driver, {})
        connection.transport_options = dict(own) | (connection.transport_options or {})
        if driver == "redis":
            tolerate_lost_redis(connection)
        return connection


def import_task_module(name: str) -> None:
    """Import a module, which may be in the working directory; raises whatever its code raises."""
    import_from_cwd(name)


def _entry_point_faults() -> list[ConfigFault]:
    """Load the tasks of installed packages, and return a fault for each that cannot be loaded."""
    faults: list[ConfigFault] = []
    for entry_point in importlib.metadata.entry_points(group=TASK_ENTRY_POINTS):
        try:
            entry_point.load()
        except (ImportError, AttributeError) as error:
            faults.append(PlaceFault("", "", f"entry point {entry_point.value}", f"it cannot be loaded: {error}"))
    return faults


def _module_faults(names: tuple[str, ...]) -> list[ConfigFault]:
    """Import the modules that the configuration names, and return a fault for each that cannot be imported."""
    faults: list[ConfigFault] = []
    for name in names:
        try:
            import_task_module(name)
        except ImportError as error:
            faults.append(ConfigFault("dispatcher", "tasks", name, f"it cannot be imported: {error}"))
    return faults
