"""How long jobs have lately taken decides which ones share a message, and how many are claimed ahead."""

import pytest

from pacifica.dispatcher.worker.run_times import ENOUGH, LATEST, MOST_JOBS, MOST_WORK, RunTimes


def noted(*seconds: float, task: str = "t") -> RunTimes:
    times = RunTimes()
    for one in seconds:
        times.note(task, one)
    return times


def test_task_is_short_after_enough_short_jobs() -> None:
    times = noted(*[0.001] * (ENOUGH - 1))
    assert times.expected("t") is None
    times.note("t", 0.001)
    assert times.expected("t") == pytest.approx(0.001)


def test_unknown_task_may_take_long() -> None:
    assert noted(*[0.001] * 10).expected("other") is None


def test_one_long_job_makes_its_task_long_for_a_while() -> None:
    times = noted(*[0.001] * 10, 3.0)
    assert times.expected("t") is None
    for _ in range(20):
        times.note("t", 0.001)
    assert times.expected("t") is None
    for _ in range(100):
        times.note("t", 0.001)
    assert times.expected("t") == pytest.approx(0.001, rel=0.1)


def test_expected_time_is_the_recent_mean() -> None:
    assert 0.001 < (noted(0.001, 0.004, 0.001, 0.001).expected("t") or 0) < 0.004


def test_nothing_is_claimed_ahead_unless_the_latest_jobs_were_short() -> None:
    times = noted(0.001, 0.001)
    assert times.ahead() == 0, "too few"
    times.note("t", 0.001)
    assert times.ahead() in {19, 20}
    times.note("other", 3.0)
    assert times.ahead() == 0
    for _ in range(LATEST):
        times.note("t", 0.001)
    assert times.ahead() in {19, 20}


def test_fewer_jobs_are_claimed_ahead_after_some_were_taken_back() -> None:
    times = noted(*[0.001] * 10)
    times.claimed_too_many()
    assert times.ahead() in {9, 10}
    for _ in range(500):
        times.note("t", 0.001)
    assert times.ahead() in {19, 20}


@pytest.mark.parametrize("seconds", [0.0, 0.00001, 0.0001, 0.001, 0.0049])
def test_jobs_claimed_ahead_are_bounded_by_their_expected_time(seconds: float) -> None:
    ahead = noted(*[seconds] * 10).ahead()
    assert 1 <= ahead <= MOST_JOBS
    assert ahead == 1 or ahead * seconds <= MOST_WORK * 1.01
