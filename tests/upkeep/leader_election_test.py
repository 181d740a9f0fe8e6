"""The election: of several processes one looks after what one is enough for; another takes over when it is gone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.leader import ElectionStore, Standing
from pacifica.dispatcher.upkeep.leader_election import Election

from ..store.conftest import all_at_once

LEASE = 6.0


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Place:
    """One database, one clock, and candidates who look every second, a sixth of the lease."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock = database, Clock()
        self.store = ElectionStore(database, "upkeep")

    def candidate(self) -> Election:
        """A process that has just started."""
        return Election(self.store, lease=LEASE, clock=self.clock)

    def looks(self, *candidates: Election, times: int = 1) -> list[bool]:
        """Who has won, after each has looked so often."""
        won: list[bool] = []
        for _ in range(times):
            self.clock.now += 1
            won = [one.won() for one in candidates]
        return won


@pytest.fixture
def place(request: pytest.FixtureRequest, make_database: Callable[[str], str]) -> Iterator[Place]:
    """An SQLite database, unless the test asks for others."""
    with closing(Database(make_database(getattr(request, "param", "sqlite")))) as database:
        database.wait_until_up(1, 0.0)
        yield Place(database)


every_database = pytest.mark.parametrize("place", ["sqlite", "postgresql", "mysql"], indirect=True)


@every_database
def test_of_many_at_one_moment_one_is_elected_and_stays_it(place: Place) -> None:
    many = [place.candidate() for _ in range(8)]
    place.clock.now = 4
    assert sum(all_at_once(place.database, [one.won for one in many])) == 1
    assert [sum(place.looks(*many)) for _ in range(20)] == [1] * 20


@every_database
def test_when_its_holder_is_gone_one_of_the_others_takes_over_before_a_worker_counts_as_dead(place: Place) -> None:
    first, *others = (place.candidate() for _ in range(4))
    assert place.looks(first, *others, times=5) == [True, False, False, False]
    looks = next(look for look in range(1, 100) if any(place.looks(*others)))
    assert looks <= LEASE
    assert sum(place.looks(*others)) == 1
    assert place.looks(first)[0] is False, "it was only stopped, and finds that it has been succeeded"
    assert place.looks(first, *others, times=5).count(True) == 1


@every_database
def test_who_stops_is_succeeded_at_the_next_look(place: Place) -> None:
    first, second = place.candidate(), place.candidate()
    assert place.looks(first, second, times=5) == [True, False]
    first.resign()
    assert place.looks(second) == [True]
    first.resign()
    assert place.looks(second, times=3) == [True], "nobody resigns for another"


def test_who_has_just_started_lets_those_go_first_who_know_more(place: Place) -> None:
    first, second = place.candidate(), place.candidate()
    assert place.looks(first, second, times=5) == [True, False]
    first.resign()
    new = place.candidate()
    assert place.looks(new, second) == [False, True]
    second.resign()
    assert place.looks(new, times=2) == [False]
    assert place.looks(new) == [True]


def test_a_beat_is_written_every_third_of_the_lease_by_the_elected_one_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = place.candidate(), place.candidate()
    place.looks(first, second, times=5)
    writes: list[object] = []
    write = place.database.write
    monkeypatch.setattr(place.database, "write", lambda change, **how: (writes.append(change), write(change, **how))[1])
    assert [place.looks(first, second) for _ in range(12)] == [[True, False]] * 12
    assert len(writes) == 12 / (LEASE / 3)


def test_nobody_takes_over_for_a_beat_that_no_database_could_take(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = place.candidate(), place.candidate()
    place.looks(first, second, times=5)

    def is_away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("The database cannot do that now.")

    with monkeypatch.context() as away:
        away.setattr(place.database, "read", is_away)
        away.setattr(place.database, "write", is_away)
        for _ in range(20):
            place.clock.now += 1
            for one in (first, second):
                with pytest.raises(DatabaseUnavailable):
                    one.won()
    assert place.looks(second, first, times=5) == [False, True]


def test_a_holder_that_cannot_resign_is_succeeded_all_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = place.candidate(), place.candidate()
    place.looks(first, second, times=5)

    def is_away(*_: object) -> None:
        raise DatabaseUnavailable("The database cannot do that now.")

    with monkeypatch.context() as away:
        away.setattr(place.store, "resign", is_away)
        first.resign()
    assert place.looks(second, times=6) == [True]


@every_database
def test_a_beat_that_has_moved_since_it_was_seen_keeps_its_holder(place: Place) -> None:
    assert place.store.take("a", None)
    assert not place.store.take("b", None)
    seen = place.store.standing()
    assert seen == Standing("a", 1)
    assert place.store.renew("a")
    assert not place.store.take("b", seen)
    both = threading.Barrier(2)

    def take(candidate: str) -> bool:
        seen = place.store.standing()
        both.wait(10)
        return place.store.take(candidate, seen)

    assert sorted(all_at_once(place.database, [partial(take, name) for name in "bc"])) == [False, True]
    assert not place.store.renew("a")
    place.store.resign("a")
    assert place.database.read(orm.Election.select().count) == 1
