"""The queues that requests may name are those of Celery's settings and of the tasks' routes."""

from typing import Any

import pytest
from celery import Celery
from kombu import Queue

from pacifica.dispatcher.delivery.declared_queues import declared_queues


def nothing() -> None: ...


def an_app(**settings: Any) -> Celery:
    """An application with the tasks ``lab.scan`` and ``own``, of which the second declares its queue."""
    app = Celery(broker="memory://", set_as_current=False)
    app.conf.update({"task_default_queue": "dispatcher", **settings})
    app.task(name="lab.scan")(nothing)
    app.task(name="own")(nothing)
    app.finalize()
    app.tasks["own"].queue = "apart"  # As ``@task(queue="apart")`` does, which Celery 5.7 deprecates with a warning.
    return app


def by_function(name: str, _args: Any, kwargs: Any, *_: Any, **__: Any) -> Any:
    return {"queue": "routed"} if name == "lab.scan" else {"queue": kwargs["site"]}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"dispatcher", "apart"}),
        ({"task_queues": [Queue("a"), Queue("b")], "task_default_queue": "a"}, {"a", "b", "apart"}),
        ({"task_routes": {"lab.*": {"queue": "slow"}, "other": {"queue": "unused"}}}, {"dispatcher", "apart", "slow"}),
        ({"task_routes": [by_function]}, {"dispatcher", "apart", "routed"}),
    ],
)
def test_queues_of_settings_and_routes_are_found(settings: Any, expected: set[str]) -> None:
    assert declared_queues(an_app(**settings), ["lab.scan", "own"]) == expected


def test_search_for_queues_adds_none_to_the_application() -> None:
    app = an_app(task_routes={"lab.*": {"queue": "slow"}})
    declared_queues(app, ["lab.scan", "own"])
    assert set(app.amqp.queues) == {"dispatcher"}
    assert set(app.amqp.queues.consume_from) == {"dispatcher"}


def test_router_that_fails_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = an_app(task_routes=[by_function], task_create_missing_queues=False)
    assert declared_queues(app, ["lab.scan"]) == {"dispatcher"}
    assert "The queue of task lab.scan" in caplog.text
