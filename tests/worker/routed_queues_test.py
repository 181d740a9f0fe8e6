"""The worker of ``up`` consumes the queue of each task."""

from typing import Any
from unittest.mock import Mock

import pytest
from celery import Celery

from pacifica.dispatcher.worker.signals import ALL_QUEUES, consume_routed_queues


def nothing() -> None:
    """The function of both tasks."""


def choose(name: str, *_: Any, **__: Any) -> dict[str, str] | None:
    """A router that cannot choose a queue for one of the tasks."""
    if name == "shop.odd":
        raise KeyError("region")
    return {"queue": "images"} if name == "shop.resize" else None


@pytest.mark.parametrize(("value", "consumed"), [("yes", {"celery", "images"}), ("", {"celery"})])
def test_routed_queues_are_consumed_if_up_asks(monkeypatch: pytest.MonkeyPatch, value: str, consumed: set[str]) -> None:
    app = Celery("shop", set_as_current=False)
    app.conf.task_routes = [choose]
    for name in ("shop.odd", "shop.resize"):
        app.task(nothing, name=name)
    monkeypatch.setenv(ALL_QUEUES, value)
    consume_routed_queues(Mock(app=app))
    assert {*app.amqp.queues.consume_from} == consumed
    assert app.amqp.queues["images"].exchange.name == "images"
