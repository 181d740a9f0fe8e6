"""Makes a Celery application that exists the application of the dispatcher.

The object stays the same, so every reference to it and each of its tasks goes on to work: it gets another class, the
dispatcher's result backend and steps, and the settings that the dispatcher decides.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

from celery import Celery
from celery.app.defaults import DEFAULTS as CELERY_DEFAULTS
from celery.local import maybe_evaluate
from kombu.utils.functional import maybe_list

from ..app import BUILT_IN, DEFAULTS, FIXED, Parts, WorkerApp
from ..config.celery_settings import OWNED
from ..core.errors import ConfigError
from ..core.faults import ConfigFault
from ..worker.adopted_task import AdoptedTask, adopt_class
from ..worker.canvas_tasks import FUNCTIONS
from ..worker.task import DispatcherTask
from .loader import make_tolerant

KEPT = ("broker_", "result_expires", "security_", "task_always_eager", "task_eager_propagates")
"""Settings that an application keeps, although ``[celery]`` refuses to change them; by their beginnings."""
THEIRS = ("task_default_queue", "task_publish_retry", "task_queue_max_priority")
"""Defaults of the dispatcher that an adopted application does not get.

Its queues exist already, and nothing else sends its plain tasks again."""
RESET: Mapping[str, Any] = {key: CELERY_DEFAULTS[key] for key in OWNED if not key.startswith(KEPT)}
"""The other settings that the dispatcher decides, with Celery's defaults."""
MADE_BEFORE = ("Worker", "amqp", "control", "log", "registry")
"""Parts that the application may have made with its former class and settings."""


class AdoptedApp(WorkerApp):
    """The class of an adopted application; the class that the application had comes second.

    ``imports`` is set in the dispatcher's own processes: they import all modules of the application. Its workers do so
    as always, and other processes import what they need.
    """

    imports = False
    joined: Sequence[Celery] = ()

    @property
    def naive_zone(self) -> tzinfo:  # type: ignore[override]
        """As Celery's workers read such times."""
        zone: tzinfo = self.timezone
        return zone

    @property
    def missing(self) -> Sequence[ConfigFault]:
        """See ``DispatcherApp.missing``."""
        return [*super().missing, *(fault for app in self.joined for fault in make_tolerant(app.loader).faults)]

    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *positional: Any,
        **options: Any,
    ) -> Any:
        """Dispatch a job by the name of its task; a task that this process does not have is sent as Celery sends it.

        As with Celery, the task's own ``apply_async`` has no part in it, and may be the caller.
        """
        task = self.tasks.get(name)
        if not isinstance(task, DispatcherTask):
            return Celery.send_task(self, name, args, kwargs, *positional, **options)
        options |= dict(zip(("countdown", "eta", "task_id"), positional, strict=False))
        if isinstance(task, AdoptedTask):
            options["task_type"] = task
        return task.apply_async(args, kwargs, **options)

    def configure(self, **_: Any) -> None:
        """Note and replace the settings that the dispatcher decides, as soon as the application has read them."""
        self.asked = {key: self.conf.get(key) for key in (*FIXED, *RESET, "result_backend", "beat_schedule")}
        self.decide()

    def decide(self) -> None:
        """Set what the dispatcher decides, and what its configuration names."""
        settings, conf = self.container.settings, self.conf
        ours = {key: value for key, value in DEFAULTS.items() if key not in THEIRS and not conf.value_set_for(key)}
        given = {key: value for key, value in settings.celery.items() if key != "broker_url" or settings.names_broker}
        conf.update({**ours, **given, **RESET, **FIXED})

    def _import_modules(self) -> None:
        if self.imports:
            super()._import_modules()
        else:
            self._import_tasks()

    def _of_two(self, known: Any, fun: Any) -> Any:
        """Celery keeps the first of two tasks, and warns; a built-in task gives its name to one of the application."""
        if known.__module__ == BUILT_IN:
            self._tasks.unregister(known.name)
        elif fun.__module__ == BUILT_IN:
            return known
        return None

    def load(self) -> None:
        """Import all modules and complete the tasks, before another application is imported.

        Celery shares the tasks of an application with each one that is completed later.
        """
        self._import_modules()
        self.finalize()

    def join(self, other: Celery) -> None:
        """Take over the tasks of a further application, which go to its queues by its routes, on this one's broker."""
        self.joined = [*self.joined, other]
        other.container = self.container  # So the plugin of Celery's command line does not adopt it by itself.
        make_tolerant(other.loader).import_default_modules()
        other.finalize()
        names = [name for name in other.tasks if not name.startswith("celery.") and name not in self.tasks]
        for name in names:
            task = other.tasks[name]
            if self._adopts(name):
                adopt_class(type(task))
            type(task).app = self  # Celery's decorator has bound it to the other application in the same way.
            self._tasks.register(task)
            task.bind(self)
        mine, theirs = self.conf, other.conf
        last = {name: {"queue": theirs.task_default_queue} for name in names}
        mine.task_routes = [*(maybe_list(mine.task_routes) or ()), *(maybe_list(theirs.task_routes) or ()), last]
        mine.task_queues = list({**other.amqp.queues, **self.amqp.queues}.values())  # Workers consume those of each.
        self.__dict__.pop("amqp", None)  # It has queues of the former setting.


def take_over(app: Any, container: Parts, *, imports: bool = False) -> AdoptedApp:
    """Make an application that of a container; an adopted application changes its container.

    Raises ``ConfigError``. See ``AdoptedApp`` for ``imports``.
    """
    _ = container.settings  # A fault must not be lost in the signal by which Celery calls ``configure``.
    for declared in app._pending:  # noqa: SLF001 - made now, they have the application's settings, and their names
        maybe_evaluate(declared)
    again = isinstance(app, AdoptedApp)
    if not again:
        _check_names(app, container)
        cls = type(app)
        app.__class__ = type(cls.__name__, (AdoptedApp, cls), {"__doc__": cls.__doc__, "__module__": cls.__module__})
        _drop_parts(app)
        make_tolerant(app.loader)
        app.on_after_configure.connect(app.configure)
    adopted: AdoptedApp = app
    adopted.imports = imports or adopted.imports
    adopted.attach(container)
    if adopted.configured:
        (adopted.decide if again else adopted.configure)()
    adopted.adopt_tasks()
    if adopted.finalized:
        _replace_canvas(adopted)
    return adopted


def _check_names(app: Any, container: Parts) -> None:
    """Raise ``ConfigError`` for a name that the application uses for something else: its code would get ours."""
    own = {"container", "absent"}.union(*map(vars, AdoptedApp.__mro__[: AdoptedApp.__mro__.index(Celery)]))
    taken = sorted(name for name in own - {*dir(Celery)} if hasattr(app, name))
    if taken and not isinstance(getattr(app, "container", None), type(container)):
        message = f"the application has {', '.join(taken)} of its own, and the dispatcher needs the name; rename it"
        raise ConfigError([ConfigFault("dispatcher", "adopt", str(app.main), message)])


def _drop_parts(app: Any) -> None:
    """Forget the parts that were made before, and have the dispatcher's made from now on."""
    for name in MADE_BEFORE:
        vars(app).pop(name, None)
    app._local, app._backend_cache = threading.local(), None  # noqa: SLF001 - Celery keeps the former backend there
    for name in ("log_cls", "control_cls"):
        if vars(app).get(name) == getattr(Celery, name):
            setattr(app, name, getattr(AdoptedApp, name))


def _replace_canvas(app: Any) -> None:
    """Make Celery's built-in tasks with a result again: ``DispatcherApp.task`` makes their runs jobs."""
    for name in FUNCTIONS:
        own = app.tasks.get(name)
        if own is not None and not isinstance(own, DispatcherTask):
            app.tasks.unregister(name)
            app.task(name=name, shared=False, lazy=False)(own.run)
