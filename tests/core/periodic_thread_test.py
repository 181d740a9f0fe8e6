"""A thread that repeats an action survives every failure of the action."""

import threading
from collections.abc import Callable, Iterator

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.core.periodic_thread import PeriodicThread

from ..eventually import eventually

Make = Callable[..., PeriodicThread]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes threads that end with the test."""
    threads = []

    def make_one(action: Callable[[], object], interval: float | Callable[[], float] = 0.001) -> PeriodicThread:
        threads.append(PeriodicThread("repeated", action, doing="counting sheep", interval=interval))
        return threads[-1]

    yield make_one
    for thread in threads:
        thread.stop(10)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DatabaseUnavailable("The disk is full."), "Failed while counting sheep: The disk is full."),
        (KeyError("wolf"), "Unhandled exception while counting sheep"),
    ],
)
def test_failing_action_is_logged_and_repeated(
    make: Make, caplog: pytest.LogCaptureFixture, error: Exception, message: str
) -> None:
    calls: list[int] = []

    def fail_once() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise error

    make(fail_once).start()
    eventually(lambda: len(calls) > 1)
    assert [record.message for record in caplog.records] == [message]


def test_stop_ends_a_pause_in_the_action_and_prevents_further_calls(make: Make) -> None:
    begun, paused = threading.Event(), []

    def pause() -> None:
        begun.set()
        paused.append(thread.pause(60))

    thread = make(pause)
    thread.start()
    assert begun.wait(10)
    thread.stop(10)
    assert paused == [True]
    assert not [each for each in threading.enumerate() if each.name == "repeated"]


def test_callable_interval_is_called_before_each_pause(make: Make) -> None:
    order: list[str] = []
    make(lambda: order.append("action"), lambda: order.append("interval") or 0.0).start()
    eventually(lambda: len(order) >= 4)
    assert order[:4] == ["interval", "action", "interval", "action"]
