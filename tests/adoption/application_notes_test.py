"""The notes on an application: what its settings can hold."""

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery._state import get_current_app
from celery.beat import ScheduleEntry
from celery.schedules import schedule
from kombu import Queue

from pacifica.dispatcher.adoption import application_notes, take_over
from pacifica.dispatcher.adoption.adoption_report import AdoptionReport, report_on
from pacifica.dispatcher.config.celery_settings import CelerySettings
from pacifica.dispatcher.config.parser import parse
from pacifica.dispatcher.container import Container


@pytest.fixture(autouse=True)
def _same_current_app() -> Iterator[None]:
    before = get_current_app()
    yield
    before.set_current()
    before.set_default()


def change(x: int) -> int:
    return x


def reported(text: str = "", **conf: Any) -> AdoptionReport:
    app = Celery("notes", set_as_current=False, broker="memory://")
    app.config_from_object(SimpleNamespace(**conf))
    app.task(name="notes.add", shared=False)(change)
    app.task(name="notes.sub", shared=False)(change)
    settings = parse(text, {}, celery=CelerySettings)
    container = Container(lambda: settings)
    container.app = take_over(app, container, imports=True)
    return report_on(container.app, container.registry, settings)


def own(names: Iterable[str]) -> list[str]:
    """Without the tasks of other tests, which Celery shares with each application of a process."""
    return [name for name in names if name.startswith("notes.") or "." not in name]


def part(report: AdoptionReport, name: str) -> list[str]:
    return [note.text for note in report.parts if note.part == name]


def test_each_form_of_a_schedule_is_shown() -> None:
    entry = ScheduleEntry(name="e", task="notes.sub", schedule=schedule(60), app=Celery(set_as_current=False))
    plan = {"a": {"task": "notes.add", "schedule": 5}, "b": {"task": "notes.add", "schedule": timedelta(minutes=2)}}
    report = reported(beat_schedule={**plan, "e": entry}, beat_scheduler="elsewhere:Scheduler")
    assert part(report, "beat") == [
        "the schedules of elsewhere:Scheduler",
        "a: notes.add, every 5 s",
        "b: notes.add, every 120 s",
        "e: notes.sub, freq: 1.00 minute",
    ]


def test_queues_that_a_worker_takes_by_itself_need_no_advice() -> None:
    routes = {"notes.add": {"queue": "fast"}, "notes.sub": {"queue": "other"}}
    report = reported(task_queues=[Queue("fast")], task_routes=routes)
    advice = {note.text.partition(":")[0]: note.advice for note in report.parts if note.part == "queue"}
    assert advice["fast"] == ""
    assert "-Q other" in advice["other"]


def test_router_that_needs_arguments_costs_only_its_queue() -> None:
    def route(name: str, args: Any, *_: Any, **__: Any) -> Any:
        return {"queue": args[0]}

    assert "cannot choose a queue" in part(reported(task_routes=[route]), "route")[0]


def test_settings_that_must_change_or_have_no_effect_are_named() -> None:
    report = reported(task_always_eager=True, task_reject_on_worker_lost=True, task_serializer="yaml")
    assert own(report.to_do) == ["eager", "notes.add", "notes.sub"]
    assert "makes no job" in part(report, "eager")[0]
    assert [text.partition(" =")[0] for text in part(report, "setting")] == ["task_reject_on_worker_lost"]
    assert all(task.notes["serializer"] == "yaml" for task in report.tasks if task.name.startswith("notes."))


def test_broker_of_the_configuration_and_tasks_left_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application_notes, "MOST_NAMES", 10_000)
    text = "[celery]\nbroker_url = redis://:hush@127.0.0.1/1\n[dispatcher]\nadopt_only = notes.a*, note.*\n"
    report = reported(text)
    assert part(report, "broker") == ["redis://:***@127.0.0.1/1, of [celery] broker_url"]
    assert report.to_do == ["adopt_only"]
    unused, left_out = part(report, "adopt_only")
    assert unused == "No task fits note.*."
    assert re.search(r"It leaves .*\bnotes\.sub\b.* to Celery alone", left_out)
    assert [task.name for task in report.tasks] == ["notes.add"]
