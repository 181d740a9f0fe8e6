"""The Celery application: its settings, its tasks, its result backend and the steps of its workers."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from fnmatch import fnmatchcase
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

import click
from celery import Celery, signals
from kombu.connection import Connection

from .config.settings import Settings
from .core.arguments import ArgumentLimits
from .core.control_characters import one_line
from .core.errors import ConfigError, DispatcherError
from .core.faults import ConfigFault
from .core.queue_names import QueueNames
from .core.registry import Registry
from .core.signature_faults import place_of
from .delivery.broker_connection import TRANSPORT_OPTIONS, tolerate_lost_redis
from .delivery.database_transport import DRIVER
from .delivery.declared_queues import declared_queues
from .store.database import Database
from .worker import declaration
from .worker.adopted_task import adopt_class, adopted_base, plain_options
from .worker.canvas_tasks import FUNCTIONS, CanvasTask
from .worker.signals import connect
from .worker.task import DispatcherTask
from .worker.task_modules import import_modules, module_fault, remark_on_module, shown_path

logger = logging.getLogger(__name__)

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
    "worker_consumer": "pacifica.dispatcher.worker.job_consumer:JobConsumer",
    "worker_enable_prefetch_count_reduction": False,
}
"""Settings that the design depends on.

Nothing is unpickled, a worker's claim records that a job started, and ``worker.prefetch`` alone fits the number.
"""
BACKEND = "pacifica.dispatcher.worker.result_backend:PeeweeBackend"
"""The result backend, which keeps results in the rows of the jobs, whatever settings and environment name."""
BUILT_IN = "pacifica.dispatcher.worker.builtin_tasks"
"""The module of the built-in tasks."""
STEPS = (
    ("worker", "pacifica.dispatcher.worker.record_step:RecordStep"),
    ("worker", "pacifica.dispatcher.worker.job_steps:JobStep"),
    ("worker", "pacifica.dispatcher.worker.bootsteps:HeartbeatStep"),
    ("consumer", "pacifica.dispatcher.worker.amqp_reader:ReadStep"),
    ("consumer", "pacifica.dispatcher.worker.job_steps:ClaimStep"),
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

    backend_cls = BACKEND
    log_cls = "pacifica.dispatcher.worker.printed_lines:LineLogging"
    control_cls = "pacifica.dispatcher.delivery.remote_control:RemoteControl"

    naive_zone: tzinfo = UTC
    """The zone of times that Python code names without one."""
    asked: Mapping[str, Any] = MappingProxyType({})
    """The values that an adopted application had for the settings that the dispatcher decides."""

    def __init__(self, container: Parts) -> None:
        super().__init__("pacifica.dispatcher")
        self.attach(container)
        self.add_defaults(self._celery_settings)

    def attach(self, container: Parts) -> None:
        """Belong to a container: import its modules with Celery's own, and give workers the dispatcher's steps."""
        self.container = container
        self._import_faults: Sequence[ConfigFault] | None = None
        self._name_faults: list[ConfigFault] = []
        self.absent: Sequence[ConfigFault] = ()
        signals.import_modules.connect(self._import_tasks, sender=self)
        self.on_after_finalize.connect(self.adopt_tasks)
        for blueprint, step in STEPS:
            self.steps[blueprint].add(step)

    @cached_property
    def registry(self) -> Registry:
        """The dispatchable tasks of all modules that the configuration names; raises ``ConfigError``."""
        if self._import_faults is None:
            self._import_modules()
        faults, self._import_faults = self._import_faults, None  # The next attempt imports again.
        if faults:
            raise ConfigError(faults)
        self.finalize()
        self.conf.update(FIXED)  # A module, or a receiver of a signal, may have changed them since.
        if self._name_faults:
            raise ConfigError(self._name_faults)
        own = self.container.settings.dispatcher
        limits = ArgumentLimits(own.arguments_limit, own.arguments_bytes)
        specs, unusable = [], {}
        for task in self._dispatchable():
            try:
                specs.append(task.spec(limits))
            except ValueError as error:
                place = shown_path(place_of(task.run))
                unusable[task.name] = f"{place}: task {one_line(task.name)} cannot be dispatched: {error}"
        built_in = [task.spec() for task in self.tasks.values() if isinstance(task, CanvasTask)]
        queues = QueueNames(declared_queues(self, [spec.name for spec in specs]), own.queues)
        return Registry(specs, unusable, queues=queues, internal=built_in)

    def remarks(self) -> list[str]:
        """A warning for each configured module without a task."""
        names, tasks = self.container.settings.dispatcher.tasks, self._dispatchable()
        return [remark for name in names if (remark := remark_on_module(name, tasks))]

    @property
    def missing(self) -> Sequence[ConfigFault]:
        """A fault for each application and each of its modules that could not be imported; the service does without."""
        known = " ".join(fault.message for fault in self.absent)
        found: Sequence[ConfigFault] = getattr(self.loader, "faults", ())  # Those of a tolerant loader.
        return [*self.absent, *(fault for fault in found if fault.message not in known)]

    def log_tasks(self) -> None:
        """Log the names of the tasks, and each module and each task that cannot be used."""
        logger.info("Tasks: %s", ", ".join(self.registry))
        for fault in self.missing:
            logger.error("The service starts without a part of its tasks. %s", fault)
        for warning in (*self.registry.unusable.values(), *self.remarks()):
            logger.warning("%s", warning)

    def adopt_tasks(self, **_: Any) -> None:
        """Make the runs of each plain task that exists jobs, except Celery's own, and those not in ``adopt_only``."""
        for task in self._tasks.values():
            if not isinstance(task, DispatcherTask) and self._adopts(task.name):
                adopt_class(type(task))

    def _adopts(self, name: str) -> bool:
        only = self.container.settings.dispatcher.adopt_only
        return not name.startswith("celery.") and (not only or any(fnmatchcase(name, pattern) for pattern in only))

    def _task_from_fun(self, fun: Any, name: str | None = None, base: Any = None, **options: Any) -> Any:
        """Make a task of a function, unless its module has been imported again since, after a fault."""
        if declaration.is_replaced(fun, name):
            return None
        name = name or self.gen_task_name(fun.__name__, fun.__module__)
        known = self._tasks.get(name)
        if known is not None and (kept := self._of_two(known, fun)) is not None:
            return kept
        if not (base and issubclass(base, DispatcherTask)):
            if self._adopts(name):
                base = adopted_base(base or self.Task)
            elif not name.startswith("celery."):
                options = plain_options(base or self.Task, self) | options
        self.__dict__.pop("registry", None)
        return super()._task_from_fun(fun, name=name, base=base, **options)

    def _of_two(self, known: Any, fun: Any) -> Any:
        """The task that keeps a name which another function claims; ``None`` for Celery's own decision."""
        faults = declaration.name_faults(known, fun)
        self._name_faults += faults
        return known if faults else None

    def register_task(self, task: Any, **options: Any) -> Any:
        """Register a task that is a class, as Celery does."""
        cls = task if isinstance(task, type) else type(task)
        if not issubclass(cls, DispatcherTask):
            if self._adopts(task.name or ""):
                adopt_class(cls)
            else:
                for option, value in plain_options(cls, self).items():
                    setattr(cls, option, value)
        self.__dict__.pop("registry", None)
        return super().register_task(task, **options)

    def _dispatchable(self) -> list[DispatcherTask]:
        own = [task for task in self.tasks.values() if isinstance(task, DispatcherTask)]
        return [task for task in own if not isinstance(task, CanvasTask)]

    def task(self, *args: Any, **opts: Any) -> Any:
        """Register a task as Celery does; the runs of a built-in task that has a result are jobs."""
        name = opts.get("name", "")
        if name not in FUNCTIONS:
            return super().task(*args, **opts)
        register = super().task(*args, base=CanvasTask, **opts)
        return lambda function: register(FUNCTIONS[name] or function)

    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *positional: Any,
        **options: Any,
    ) -> Any:
        """Dispatch a job by the name of its task; raises ``UnknownTask`` if this process has no such task.

        A plain task of Celery is sent as Celery sends it.
        """
        self.registry  # noqa: B018 - the property imports the tasks
        task = self.tasks.get(name)
        if task is None:
            return self.registry[name]  # Raises.
        if not isinstance(task, DispatcherTask):
            return super().send_task(name, args, kwargs, *positional, **options)
        options |= dict(zip(("countdown", "eta", "task_id"), positional, strict=False))
        return task.apply_async(args, kwargs, **options)

    def _celery_settings(self) -> Mapping[str, Any]:
        own = self.container.settings.celery
        # Quorum queues have no x-max-priority, and refuse to be declared with one.
        quorum = {"task_queue_max_priority": None} if own.get("task_default_queue_type") == "quorum" else {}
        return {**DEFAULTS, **quorum, **own, **FIXED}

    def _import_modules(self) -> None:
        self.loader.import_default_modules()

    def _import_tasks(self, **_: Any) -> None:
        """Keep the faults for ``registry``: Celery would log the traceback of what a signal's receiver raises."""
        try:
            own = module_fault(BUILT_IN)
            self._import_faults = [own] if own else import_modules(self.container.settings.dispatcher.tasks)
        except ConfigError as error:
            self._import_faults = error.faults

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


class WorkerApp(DispatcherApp):
    """The application for Celery's command line, which prints one sentence if a worker cannot start."""

    def Worker(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 - Celery's name
        """Return a worker of this application; raises ``ClickException``, which the command prints."""
        connect(self)
        try:
            return super().Worker(*args, **kwargs)
        except DispatcherError as error:
            raise click.ClickException(str(error)) from error
