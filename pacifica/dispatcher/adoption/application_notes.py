"""The parts of an adopted application: which of them go on as before, which are replaced, and which are missing."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from operator import itemgetter
from typing import Any, NamedTuple

from celery.app.defaults import DEFAULTS as CELERY_DEFAULTS

from ..app import FIXED, DispatcherApp
from ..config.celery_settings import OWNED
from ..config.settings import Settings
from ..core.redaction import mask_passwords
from ..delivery.broker_probe import broker_name
from ..delivery.task_message import target

OTHERS = {"accept_content", "beat_schedule", "result_accept_content", "result_backend", "task_serializer"}
PER_TASK = {"task_acks_late", "task_ignore_result", "task_track_started"}
"""Settings that have a note of their own, and those that each task may have; no others are listed as replaced."""
FIXED_REASON = "the dispatcher needs its own value"
MOST_NAMES = 6
JSON_CONTENT = {"json", "application/json"}
BEAT = "celery.beat:PersistentScheduler"


class PartNote(NamedTuple):
    """A sentence on a part of the application; ``must``: the advice has to be followed, or something is lost."""

    part: str
    text: str
    advice: str = ""
    must: bool = False


def notes_on_application(app: DispatcherApp, settings: Settings, tasks: Sequence[str]) -> list[PartNote]:
    """The notes, of which those on faults come first; ``tasks`` are the adopted ones."""
    faults = [*_missing(app), *_eager(app)]
    return [
        *faults,
        _broker(app, settings),
        *_queues(app, tasks),
        *_left_out(app, settings, tasks),
        *_backend(app),
        *_content(app),
        *_replaced(app),
        *_schedule(app, tasks),
    ]


def _missing(app: DispatcherApp) -> Iterator[PartNote]:
    for fault in app.missing:
        advice = "Its tasks are not offered until this is corrected, and server and workers are started again."
        yield PartNote("missing", str(fault), advice, must=True)


def _eager(app: DispatcherApp) -> Iterator[PartNote]:
    if app.conf.task_always_eager:
        text = "task_always_eager is set: .delay() runs the task in the process that calls it, and makes no job."
        yield PartNote("eager", text, "Remove the setting outside tests.", must=True)


def _broker(app: DispatcherApp, settings: Settings) -> PartNote:
    whose = "of [celery] broker_url" if settings.names_broker or not app.asked else "of the application"
    url = app.conf.broker_write_url or app.conf.broker_url or broker_name(app)
    urls = [url] if isinstance(url, str) else url
    return PartNote("broker", f"{', '.join(map(mask_passwords, urls))}, {whose}")


def _queues(app: DispatcherApp, tasks: Sequence[str]) -> Iterator[PartNote]:
    """Each queue with its tasks; a worker without ``-Q`` consumes those of the settings, or else the default one."""
    consumed = set(app.amqp.queues)
    found: dict[str, list[str]] = defaultdict(list)
    for name in tasks:
        try:
            found[str(target(app, name, None, None).queue)].append(name)
        except Exception as error:  # noqa: BLE001 - a user's router may raise anything
            yield PartNote("route", f"The router of {name} cannot choose a queue without arguments: {error!r}")
    for queue, names in sorted(found.items()):
        advice = "" if queue in consumed else f"Start a worker for it: -Q {queue}; no other worker takes its jobs."
        yield PartNote("queue", f"{queue}: {_named(names)}", advice)


def _left_out(app: DispatcherApp, settings: Settings, tasks: Sequence[str]) -> Iterator[PartNote]:
    only = settings.dispatcher.adopt_only
    if unused := [pattern for pattern in only if not any(fnmatchcase(name, pattern) for name in tasks)]:
        yield PartNote("adopt_only", f"No task fits {', '.join(unused)}.", "Correct or remove it.", must=True)
    plain = [name for name in sorted(app.tasks) if not hasattr(app.tasks[name], "spec")]
    own = [name for name in plain if not name.startswith("celery.")]
    if only and own:
        yield PartNote("adopt_only", f"It leaves {_named(own)} to Celery alone, without jobs in the record.")


def _backend(app: DispatcherApp) -> Iterator[PartNote]:
    other = app.asked.get("result_backend")
    if isinstance(other, str) and other and not other.startswith("disabled"):
        text = f"{mask_passwords(other)} gets no results: they are in the record, and AsyncResult finds them there."
        advice = (
            "Programs that look into that backend themselves see nothing new: have them ask GET /result/<uuid>. Keep "
            "the setting if programs without the dispatcher start chords, which Celery counts there."
        )
        yield PartNote("results", text, advice)


def _content(app: DispatcherApp) -> Iterator[PartNote]:
    others = sorted(set(map(str, app.asked.get("accept_content") or ())) - JSON_CONTENT)
    if others:
        text = (
            f"accept_content has {', '.join(others)}: messages other than JSON are refused, logged, and never loaded."
        )
        yield PartNote("messages", text, "See that no program sends such messages, and that no such message waits.")


def _replaced(app: DispatcherApp) -> Iterator[PartNote]:
    """The application's own values of settings that the dispatcher decides."""
    for key, value in app.asked.items():
        if key in OTHERS or key in PER_TASK or value in (CELERY_DEFAULTS.get(key), FIXED.get(key)):
            continue
        yield PartNote("setting", f"{key} = {value!r} has no effect: {OWNED.get(key, FIXED_REASON)}.")


def _schedule(app: DispatcherApp, tasks: Iterable[str]) -> Iterator[PartNote]:
    entries: Mapping[str, Any] = app.asked.get("beat_schedule") or app.conf.beat_schedule or {}
    lines = []
    if app.conf.beat_scheduler not in (None, BEAT):
        lines.append(f"the schedules of {app.conf.beat_scheduler}")
    for name, entry in entries.items():
        task, plan = itemgetter("task", "schedule")(entry if isinstance(entry, Mapping) else vars(entry))
        known = "" if task in tasks else " (no adopted task: it stays a plain message)"
        lines.append(f"{name}: {task}{known}, {_when(plan)}")
    for number, line in enumerate(lines, 1):
        advice = (
            "Go on to start beat as before, in one process: each run becomes a job." if number == len(lines) else ""
        )
        yield PartNote("beat", line, advice)


def _when(schedule: Any) -> str:
    seconds = schedule.total_seconds() if isinstance(schedule, timedelta) else schedule
    if isinstance(seconds, int | float):
        return f"every {seconds:g} s"
    return str(schedule).removeprefix("<").removesuffix(">")


def _named(names: Sequence[str]) -> str:
    """Their number and the first names."""
    more = len(names) - MOST_NAMES
    shown = ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"{len(names)} task{'s' * (len(names) != 1)} ({shown})"
