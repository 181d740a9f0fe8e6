"""Messages that the broker has lost are published again, and no others."""

from dataclasses import replace

import pytest

from pacifica.dispatcher.core.job import Job, now

from ..store.conftest import a_job
from .conftest import Process


def published_again(process: Process, jobs: list[Job]) -> list[int]:
    """The positions of the jobs that one round has put back into the outbox."""
    process.upkeep.round()
    return [position for position, job in enumerate(jobs) if process.get(job).due is not None]


def test_jobs_whose_queue_is_not_known_are_left_alone(process: Process) -> None:
    jobs = [process.add_published(1000, task="elsewhere"), process.add_published(10)]
    assert published_again(process, jobs) == [1]


def test_of_a_queue_that_lost_messages_the_first_ones_are_published_again(process: Process) -> None:
    process.broker.ready_in = {"default": 3}
    jobs = [process.add_published(seconds) for seconds in (50, 40, 30, 20, 10)]
    assert published_again(process, jobs) == [0, 1]


def test_a_queue_that_holds_a_message_for_each_waiting_job_is_left_alone(process: Process) -> None:
    process.broker.ready_in = {"default": 5}
    published = ((50, "add"), (40, "mul"), (30, "add"), (0, "add"))
    jobs = [process.add_published(seconds, task=task) for seconds, task in published]
    assert published_again(process, jobs) == []


def test_recent_messages_in_a_queue_do_not_hide_lost_ones(process: Process) -> None:
    process.broker.ready_in = {"default": 20}
    jobs = [process.add_published(10), *(process.add_published(0) for _ in range(20))]
    assert published_again(process, jobs) == [0]


def test_a_long_queue_does_not_hide_the_messages_that_another_queue_lost(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.upkeep.lost_messages.BATCH", 5)
    process.broker.ready_in = {"long": 30}
    jobs = [*(process.add_published(100, queue="long") for _ in range(30)), process.add_published(10, queue="lost")]
    assert published_again(process, jobs) == [30]


def test_job_that_waits_because_a_clock_was_set_back_is_due_at_once(process: Process) -> None:
    hour = 3_600_000_000
    job, scheduled = a_job(created=now() + hour, due=now() + hour), a_job(due=now() + hour, eta=now() + hour)
    scheduled = replace(scheduled, due=scheduled.eta)
    put_back, put_off = a_job(due=now() + 2 * hour), a_job(due=now() + hour // 2)
    process.jobs.add_many([job, scheduled, put_back, put_off], [None] * 4)
    process.upkeep.round()
    assert all((process.get(one).due or 0) <= now() for one in (job, put_back))
    assert process.get(scheduled).due == scheduled.eta
    assert process.get(put_off).due == put_off.due, "its task has a rate limit, or the broker has refused it"
