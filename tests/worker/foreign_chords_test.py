"""The parts of chords: those that another program has started are counted by the application's own result backend."""

import logging
from typing import Any

import pytest
from celery import chord
from celery.app.task import Context

from pacifica.dispatcher.worker.foreign_chords import COUNTED

from .local_worker import LocalWorker

NOWHERE = "redis://127.0.0.1:1/0"
"""Connections to this port are refused."""


def part(**body: Any) -> Context:
    return Context(id="part", group="group", group_index=0, chord={"task": "add", "args": [], "options": {}, **body})


def messages_about_the_chord(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "Chord" in message]


def test_part_that_cannot_be_counted_is_logged(worker: LocalWorker, caplog: pytest.LogCaptureFixture) -> None:
    worker.app.conf.result_backend = NOWHERE
    with caplog.at_level(logging.ERROR):
        worker.app.backend.on_chord_part_return(part(), "SUCCESS", 1)
    assert "could not count a part" in "".join(messages_about_the_chord(caplog))


@pytest.mark.parametrize("backend", [None, "rpc://"])
def test_backend_that_counts_no_parts_is_not_used(worker: LocalWorker, backend: str | None, caplog: Any) -> None:
    worker.app.conf.result_backend = backend
    worker.app.backend.on_chord_part_return(part(), "SUCCESS", 1)
    assert messages_about_the_chord(caplog) == []


def test_chord_of_this_process_does_not_use_that_backend(worker: LocalWorker, caplog: Any) -> None:
    worker.app.conf.result_backend = NOWHERE

    def double(number: int) -> int:
        return 2 * number

    def total(numbers: list[int]) -> int:
        return sum(numbers)

    one, all_of_them = worker.task(double), worker.task(total)
    chord([one.s(1), one.s(2)], all_of_them.s())()
    for entry in worker.container.outbox.take(at=2**62, lease=0, limit=10):
        if entry.task == one.name:
            assert worker.deliver(entry)["chord"][COUNTED]
    assert messages_about_the_chord(caplog) == []
