"""Leader election: of several processes one is the leader, and another takes over when it is gone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.leader import ElectionStore, Leadership
from pacifica.dispatcher.upkeep.leader_election import Election

from ..store.conftest import all_at_once

LEASE = 6.0


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Cluster:
    """Candidates with one database and one clock, which ask every second, a sixth of the lease."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock = database, Clock()
        self.store = ElectionStore(database, "upkeep")

    def candidate(self) -> Election:
        """A process that has just started."""
        return Election(self.store, lease=LEASE, clock=self.clock)

    def ask(self, *candidates: Election, times: int = 1) -> list[bool]:
        """Let each candidate ask that often, and return which of them are leaders then."""
        won: list[bool] = []
        for _ in range(times):
            self.clock.now += 1
            won = [one.won() for one in candidates]
        return won


@pytest.fixture
def cluster(request: pytest.FixtureRequest, make_database: Callable[[str], str]) -> Iterator[Cluster]:
    """A cluster on SQLite, or on the database that the test names."""
    with closing(Database(make_database(getattr(request, "param", "sqlite")))) as database:
        database.wait_until_up(1, 0.0)
        yield Cluster(database)


every_database = pytest.mark.parametrize("cluster", ["sqlite", "postgresql", "mysql"], indirect=True)


@every_database
def test_of_many_candidates_at_one_moment_one_becomes_the_leader(cluster: Cluster) -> None:
    many = [cluster.candidate() for _ in range(8)]
    cluster.clock.now = 4
    assert sum(all_at_once(cluster.database, [one.won for one in many])) == 1
    assert [sum(cluster.ask(*many)) for _ in range(20)] == [1] * 20


@every_database
def test_a_leader_that_is_gone_is_replaced_before_a_worker_counts_as_dead(cluster: Cluster) -> None:
    first, *others = (cluster.candidate() for _ in range(4))
    assert cluster.ask(first, *others, times=5) == [True, False, False, False]
    seconds = next(second for second in range(1, 100) if any(cluster.ask(*others)))
    assert seconds <= LEASE
    assert sum(cluster.ask(*others)) == 1
    assert cluster.ask(first)[0] is False, "it was only suspended, and learns that it has been replaced"
    assert cluster.ask(first, *others, times=5).count(True) == 1


@every_database
def test_a_leader_that_resigns_is_replaced_at_once(cluster: Cluster) -> None:
    first, second = cluster.candidate(), cluster.candidate()
    assert cluster.ask(first, second, times=5) == [True, False]
    first.resign()
    assert cluster.ask(second) == [True]
    first.resign()
    assert cluster.ask(second, times=3) == [True], "only the leader can resign"


def test_the_candidate_that_has_observed_for_longest_goes_first(cluster: Cluster) -> None:
    first, second = cluster.candidate(), cluster.candidate()
    assert cluster.ask(first, second, times=5) == [True, False]
    first.resign()
    new = cluster.candidate()
    assert cluster.ask(new, second) == [False, True]
    second.resign()
    assert cluster.ask(new, times=2) == [False]
    assert cluster.ask(new) == [True]


def test_only_the_leader_writes_a_heartbeat_every_third_of_the_lease(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = cluster.candidate(), cluster.candidate()
    cluster.ask(first, second, times=5)
    writes: list[object] = []
    write = cluster.database.write
    monkeypatch.setattr(
        cluster.database, "write", lambda change, **how: (writes.append(change), write(change, **how))[1]
    )
    assert [cluster.ask(first, second) for _ in range(12)] == [[True, False]] * 12
    assert len(writes) == 12 / (LEASE / 3)


def test_a_heartbeat_that_the_database_could_not_take_replaces_no_leader(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = cluster.candidate(), cluster.candidate()
    cluster.ask(first, second, times=5)

    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("The database cannot do that now.")

    with monkeypatch.context() as unavailable:
        unavailable.setattr(cluster.database, "read", fail)
        unavailable.setattr(cluster.database, "write", fail)
        for _ in range(20):
            cluster.clock.now += 1
            for one in (first, second):
                with pytest.raises(DatabaseUnavailable):
                    one.won()
    assert cluster.ask(second, first, times=5) == [False, True]


def test_a_leader_that_cannot_resign_is_replaced_later(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = cluster.candidate(), cluster.candidate()
    cluster.ask(first, second, times=5)

    def fail(*_: object) -> None:
        raise DatabaseUnavailable("The database cannot do that now.")

    with monkeypatch.context() as unavailable:
        unavailable.setattr(cluster.store, "resign", fail)
        first.resign()
    assert cluster.ask(second, times=6) == [True]


@every_database
def test_a_heartbeat_that_has_moved_keeps_its_leader(cluster: Cluster) -> None:
    assert cluster.store.take("a", None)
    assert not cluster.store.take("b", None)
    seen = cluster.store.leadership()
    assert seen == Leadership("a", 1)
    assert cluster.store.renew("a")
    assert not cluster.store.take("b", seen)
    both = threading.Barrier(2)

    def take(candidate: str) -> bool:
        seen = cluster.store.leadership()
        both.wait(10)
        return cluster.store.take(candidate, seen)

    assert sorted(all_at_once(cluster.database, [partial(take, name) for name in "bc"])) == [False, True]
    assert not cluster.store.renew("a")
    cluster.store.resign("a")
    assert cluster.database.read(orm.Election.select().count) == 1
