"""Tasks of an existing Celery application: their classes get the dispatcher's base class before their own.

The methods and hooks of their own base classes run as the dispatcher's call them: ``__call__`` with the loaded
arguments, ``apply_async`` before a job is made, the others by the order of the classes. Options that the design fixes,
such as late acknowledgement, are noted as the task asks for them, before they are replaced.
"""

import functools
import inspect
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from celery import Task, states
from celery.result import AsyncResult, ResultBase

from ..core.arguments import DEFAULT_LIMITS, ArgumentLimits
from ..core.registry import TaskSpec
from . import declaration, python_dispatch, retrying
from .adopted_spec import NOTHING_ASKED, AdoptedSpec, Asked, StoredResult
from .containment import own_code
from .outcomes import KEPT_RESULT
from .task import DispatcherTask, is_function_call

logger = logging.getLogger(__name__)

ASKED: Mapping[str, Any] = {"acks_late": False, "ignore_result": False, "serializer": "json"}
"""The options of a task that are noted, with Celery's defaults, and then replaced by the values in ``OWN``."""
OWN: Mapping[str, Any] = {
    "acks_late": True,
    "ignore_result": False,
    "serializer": "json",
    "track_started": False,
}
LOADED = "dispatcher_loaded"
"""The field of a request whose arguments are Python values."""
RETRY_OPTIONS = frozenset(
    {*inspect.signature(Task.retry).parameters, *retrying.COLUMNS, *retrying.HEADERS} - {"self", "options"}
)
"""The arguments of ``retry`` that a job can keep."""
LIMITS: Mapping[str, float] = {"countdown": math.inf, "expires": math.inf, "priority": 9}
"""The highest numbers of options that may be lower than 0, or higher, in a call that Celery accepts."""
FRONT = ("Request", "Strategy", "update_state", "on_replace", "spec")
"""Names of the dispatcher that its other base classes may have, too; theirs are not used."""
IN_FRONT_OF_ITSELF = ("Request", "Strategy", "spec")
"""Those that are not used either if the task's own class has them; its methods call the dispatcher's by ``super()``."""
THEIRS = ("progress", "check", "hidden")
"""Names of the dispatcher that Celery does not have, so that another class may use them for something else."""


class AdoptedTask(DispatcherTask):
    """A task that was written for Celery alone, each run of which is a job."""

    abstract = True
    dispatcher_asked = NOTHING_ASKED
    """The options that the task asked for."""
    dispatcher_bypassed: Sequence[str] = ()
    """The names of ``FRONT`` that its own classes have."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _take_over(cls)

    @classmethod
    def bind(cls, app: Any) -> Any:
        """Bind the class as Celery does, under the options that it asked for; then replace them."""
        first = "dispatcher_asked" not in vars(cls)
        if first:
            _bind_as_asked(cls, app)
        bound = super().bind(app)
        if first:
            _fix(cls)
        return bound

    def spec(self, limits: ArgumentLimits = DEFAULT_LIMITS) -> AdoptedSpec:
        """The signature as far as it can be used."""
        # Celery names no other sign of pydantic=True, whose wrapper reads the arguments itself.
        converts = self._dump_pydantic_arguments is None
        self.app  # noqa: B018 - the property binds the class
        asked = self.dispatcher_asked._replace(bypassed=self.dispatcher_bypassed)
        counted = getattr(self, "_orig_run", self.run)  # Celery keeps the function here if autoretry_for wraps it.
        doc = self.__doc__ or ""
        spec = AdoptedSpec(self.name, self.run, doc, limits, asked, counted=counted, converts=converts)
        spec.expires = python_dispatch.own_expiry(self)
        return spec

    def dispatcher_claimed(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Load the arguments, so that hooks and signals get those of the function, as with Celery."""
        with own_code():
            args[:], named = self.app.container.registry.of_job(self.name).load(args, kwargs)
        kwargs.update(named)
        self.request.update({LOADED: True})

    def dispatcher_load(self, spec: TaskSpec, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The arguments that the claim or a hook has left, which are loaded already in a worker."""
        return (args, kwargs) if getattr(self.request, LOADED, False) else spec.load(args, kwargs)

    def dispatcher_call(self, *args: Any, **kwargs: Any) -> Any:
        """The function, or the ``__call__`` of another class that surrounds it."""
        return self.run(*args, **kwargs)

    def dispatcher_result(self, spec: TaskSpec, result: Any) -> Any:
        """Keep the JSON value for the record; Celery, hooks and the next steps of a workflow get the result itself."""
        kept = self._dispatcher_stored(spec, result)
        self.request.update({KEPT_RESULT: kept})
        return kept.value if isinstance(result, Iterator) else result

    def _dispatcher_stored(self, spec: TaskSpec, result: Any) -> StoredResult:
        assert isinstance(spec, AdoptedSpec)
        own = result.as_tuple() if isinstance(result, ResultBase) else result  # As Celery's backends store it.
        return spec.stored(own, self.app.container.settings.dispatcher.result_limit)

    def apply_async(self, *positional: Any, **options: Any) -> AsyncResult:
        """Dispatch a job, by way of the ``apply_async`` of another class if there is one, as it was called.

        Celery's own, which ends that way, sends the task by its name, with the task as an option.
        """
        sent = options.pop("task_type", None) is not None
        if not sent and _behind(type(self), "apply_async") is not None:
            return super(DispatcherTask, self).apply_async(*positional, **options)
        given = dict(zip(("args", "kwargs", "task_id", "producer"), positional, strict=False)) | _possible(options)
        if self._dump_pydantic_arguments is not None:  # As Celery's own does; the models are not JSON.
            given["args"], given["kwargs"] = self._dump_pydantic_arguments(given.get("args"), given.get("kwargs"))
        return super().apply_async(**_with_queue(self.app, given))

    def retry(self, *positional: Any, **options: Any) -> Any:
        """As for own tasks, but options that a retry cannot change are logged only."""
        others = sorted(options.keys() - RETRY_OPTIONS)
        if others:
            logger.warning("Task %s: retry() cannot change %s; each stays as it is.", self.name, ", ".join(others))
        return super().retry(*positional, **{name: options[name] for name in options.keys() & RETRY_OPTIONS})

    def update_state(self, task_id: str | None = None, state: Any = None, meta: Any = None, **options: Any) -> None:
        """As for own tasks, but a state that a job cannot have, or a meta that is too large, is logged only."""
        if state == states.SUCCESS:  # The result of the job, if the function then raises Ignore.
            meta = self._dispatcher_stored(self.app.container.registry.of_job(self.name), meta).value
        try:
            super().update_state(task_id, state, meta, **options)
        except ValueError as error:
            logger.warning("Task %s: %s; it is not shown.", self.name, error)


def adopted_base(base: type[Task]) -> type[Task]:
    """A base class of adopted tasks, with all that ``base`` has; one of the dispatcher's own is returned as it is."""
    if issubclass(base, DispatcherTask):
        return base
    return type(
        base.__name__, (AdoptedTask, base), {"abstract": True, "__module__": base.__module__, "__doc__": base.__doc__}
    )


def adopt_class(cls: type[Task]) -> None:
    """Adopt the class of a task that exists with those that derive from it, and so every object of them."""
    if issubclass(cls, DispatcherTask):
        return
    for below in reversed(list(_below(cls))):  # AdoptedTask may have one place only in the order of base classes.
        below.__bases__ = tuple(base for base in below.__bases__ if base is not AdoptedTask)
    cls.__bases__ = (AdoptedTask, *cls.__bases__)
    for kind in (cls, *_below(cls)):
        if "dispatcher_bypassed" not in vars(kind):
            declaration.make_plain(kind)
            declaration.claim_before_start(kind)
            _take_over(kind)
            if "__bound__" in vars(kind):
                _fix(kind)


def _below(cls: type[Task]) -> Iterator[type[Task]]:
    """All classes that derive from the class, each after those that it derives from."""
    subclasses: list[type[Task]] = cls.__subclasses__()
    for sub in subclasses:
        yield sub
        yield from _below(sub)


def _take_over(cls: type[Task]) -> None:
    """Put the dispatcher's methods before those of the class and of its other base classes."""
    bypassed = [name for name in FRONT if _behind(cls, name) is not None]
    for name in IN_FRONT_OF_ITSELF:
        if name in vars(cls):
            setattr(cls, name, getattr(AdoptedTask, name))
            bypassed.append(name)
    for name in THEIRS:
        if _holder(cls, name) is not cls and (holder := _behind(cls, name)) is not None:
            setattr(cls, name, vars(holder)[name])
    if (holder := _holder(cls, "__call__")) is not None:
        theirs = vars(holder)["__call__"]
        cls.dispatcher_call = getattr(theirs, THEIR_CALL, theirs)
        if holder is cls:
            cls.__call__ = _job_before(cls.dispatcher_call)
    cls.dispatcher_bypassed = tuple(dict.fromkeys(bypassed))


def _job_before(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """The dispatcher's ``__call__``, for a class whose own one is to run within it."""

    @functools.wraps(theirs)
    def __call__(self: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 - the name in a traceback
        if is_function_call(self.request):
            return theirs(self, *args, **kwargs)
        return DispatcherTask.__call__(self, *args, **kwargs)

    setattr(__call__, THEIR_CALL, theirs)
    return __call__


THEIR_CALL = "dispatcher_their_call"
"""The attribute of such a function with the class's own one."""


def _holder(cls: type, name: str) -> Any:
    """The first class in the order of base classes that has the name, beside the dispatcher's and Celery's own."""
    others = (kind for kind in cls.__mro__ if kind not in {*AdoptedTask.__mro__, object})
    return next((kind for kind in others if name in vars(kind)), None)


def _behind(cls: type, name: str) -> Any:
    """As ``_holder``, of the classes that the dispatcher's come before."""
    others = cls.__mro__[cls.__mro__.index(AdoptedTask) + 1 :]
    return next((kind for kind in others if kind not in {*AdoptedTask.__mro__, object} and name in vars(kind)), None)


def _possible(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a dispatch, with numbers that Celery takes and a job cannot have replaced by the nearest ones."""
    found = dict(options)
    for name, most in LIMITS.items():
        if isinstance(value := found.get(name), int | float):
            found[name] = max(0, min(value, most))
    return found


def _with_queue(app: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The options with the queue to which an exchange and a routing key lead; raises ``ValueError`` for none."""
    exchange = getattr(options.get("exchange"), "name", options.get("exchange"))
    if not exchange or options.get("queue") is not None:
        return options
    # Here, as it imports the base of all transports that a few brokers alone need.
    from kombu.transport.virtual.exchange import TopicExchange

    key, patterns = options.get("routing_key") or "", TopicExchange(None)
    for queue in app.amqp.queues.values():
        any_key = queue.exchange.type == "fanout" or queue.routing_key == key
        if queue.exchange.name == exchange and (any_key or re.match(patterns.key_to_pattern(queue.routing_key), key)):
            return {**options, "queue": queue.name}
    raise ValueError(
        f"no queue of task_queues has exchange {exchange!r} and routing key {key!r}; name the queue instead"
    )


def _asked(cls: type[Task], name: str) -> Any:
    """The value of an option as the class or one of its base classes has it, beside the dispatcher's; or ``None``."""
    holder = _holder(cls, name)
    if holder is not None and "dispatcher_asked" in vars(holder):  # The option itself has the dispatcher's value.
        return getattr(holder.dispatcher_asked, name)
    return None if holder is None else vars(holder)[name]


def _bind_as_asked(cls: type[Task], app: Any) -> None:
    """Set the options that the class asks for: Celery sets the missing ones by settings that the dispatcher decides."""
    settings = _asked_settings(app)
    for name, default in ASKED.items():
        asked = _asked(cls, name)
        setattr(cls, name, settings.get(f"task_{name}", default) if asked is None else asked)


def plain_options(base: type[Task], app: Any) -> dict[str, Any]:
    """The options that a plain task of Celery gets from the settings which the dispatcher decides for adopted ones.

    It goes on to be acknowledged, and to keep its result, as its application asks; but pickle stays refused.
    """
    settings = {"task_acks_late": False, **_asked_settings(app), "task_serializer": None}
    open_options = [pair for pair in Task.from_config if getattr(base, pair[0], None) is None]
    return {option: settings[setting] for option, setting in open_options if settings.get(setting) is not None}


def _asked_settings(app: Any) -> Mapping[str, Any]:
    _ = app.conf["task_acks_late"]  # An application that has not read its settings has asked for nothing yet.
    settings: Mapping[str, Any] = getattr(app, "asked", {})
    return settings


def _fix(cls: type[Task]) -> None:
    """Note the options of a bound class, and replace them by the dispatcher's."""
    acks_late, ignore_result, serializer = (_asked(cls, name) for name in ASKED)
    cls.dispatcher_asked = Asked(bool(acks_late), bool(ignore_result), serializer or "json")
    for name, value in OWN.items():
        setattr(cls, name, value)
