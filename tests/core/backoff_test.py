"""Backoff, and an action that is repeated while the database is unavailable; the clock moves only in pauses."""

from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from pacifica.dispatcher.core import backoff as backoff_module
from pacifica.dispatcher.core.backoff import backoff, retry_while_unavailable
from pacifica.dispatcher.core.errors import DatabaseUnavailable


class Clock:
    """Stands for the module ``time``."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(backoff_module, "time", made)
    return made


def failing(times: int) -> Callable[[], int]:
    """An action that fails that many times, and then returns the number of its calls."""
    calls: Iterator[int] = iter(range(1, 1000))

    def action() -> int:
        number = next(calls)
        if number <= times:
            raise DatabaseUnavailable(f"failure {number}")
        return number

    return action


def test_pauses_grow_by_the_factor_up_to_the_longest() -> None:
    assert list(islice(backoff(1, 10, factor=3, jitter=0), 5)) == [1, 3, 9, 10, 10]


@pytest.mark.parametrize("jitter", [0.5, 1.0])
def test_jitter_shortens_a_pause_by_at_most_its_share(jitter: float) -> None:
    for pause in islice(backoff(4, 4, jitter=jitter), 100):
        assert 4 * (1 - jitter) <= pause <= 4


def test_action_is_repeated_until_the_database_is_back(clock: Clock) -> None:
    assert retry_while_unavailable(failing(3), 60) == 4
    assert 0.175 <= clock.now <= 0.35


def test_last_failure_is_raised_when_the_time_is_over(clock: Clock) -> None:
    with pytest.raises(DatabaseUnavailable, match="failure"):
        retry_while_unavailable(failing(999), 10)
    assert 8 <= clock.now <= 10


def test_without_time_the_first_failure_is_raised(clock: Clock) -> None:
    with pytest.raises(DatabaseUnavailable, match="failure 1"):
        retry_while_unavailable(failing(1), 0)
    assert clock.now == 0
