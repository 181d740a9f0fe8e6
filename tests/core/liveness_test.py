"""A stopped heartbeat is detected by the observer's own clock, and only in two looks."""

import pytest

from pacifica.dispatcher.core.liveness import Liveness, ObservedHeartbeat


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment = 100.0

    def __call__(self) -> float:
        return self.moment


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def liveness(clock: Clock) -> Liveness:
    """An observer with a lease of 30 seconds."""
    return Liveness(30, clock)


def test_heartbeat_has_moved_once_its_counter_changes(liveness: Liveness, clock: Clock) -> None:
    assert liveness.look({"a": 7, "b": 7}) == {
        "a": ObservedHeartbeat(0.0, moved=False),
        "b": ObservedHeartbeat(0.0, moved=False),
    }
    clock.moment += 10
    assert liveness.look({"a": 8, "b": 7}) == {
        "a": ObservedHeartbeat(0.0, moved=True),
        "b": ObservedHeartbeat(10.0, moved=False),
    }
    clock.moment += 25
    assert liveness.look({"a": 8, "b": 7}) == {
        "a": ObservedHeartbeat(25.0, moved=True),
        "b": ObservedHeartbeat(35.0, moved=False),
    }
    clock.moment += 1000
    assert liveness.look({"a": 9}) == {"a": ObservedHeartbeat(0.0, moved=True)}


def test_heartbeat_that_appears_after_the_first_look_has_moved(liveness: Liveness) -> None:
    assert liveness.look({}) == {}
    assert liveness.look({"a": 1})["a"].moved
    liveness.forget()
    assert not liveness.look({"a": 1})["a"].moved


def test_heartbeat_is_dead_after_the_lease_in_two_looks(liveness: Liveness, clock: Clock) -> None:
    liveness.look({"a": 1, "b": None})
    clock.moment += 30
    liveness.look({"a": 1, "b": None})
    assert (liveness.suspects, liveness.dead) == ({"a", "b"}, set())
    liveness.look({"a": 2, "b": None})
    assert (liveness.suspects, liveness.dead) == ({"b"}, {"b"})


def test_failed_look_restarts_the_lease_and_both_looks(liveness: Liveness, clock: Clock) -> None:
    for _ in range(2):
        liveness.look({"a": 1})
        clock.moment += 30
    liveness.forget()
    for _ in range(2):
        liveness.look({"a": 1})
        assert (liveness.suspects, liveness.dead) == (set(), set())
        clock.moment += 29
