"""Events are counted once each, whichever process is the leader and in whatever order they become visible."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.store.event_counts import Count, CountKey, EventCounts
from pacifica.dispatcher.upkeep import event_counter
from pacifica.dispatcher.upkeep.event_counter import MOST_ROWS, PAGE, SETTLED_AFTER, EventCounter

SUCCESS = CountKey("add", "SUCCESS", 3)


@dataclass
class Ended:
    """A part of the history."""

    events: int
    many_tasks: bool

    def __len__(self) -> int:
        return self.events if self.many_tasks else 0


@dataclass
class Events:
    """The visible events by id, and the stored counts."""

    ordered: bool = True
    visible: set[int] = field(default_factory=set)
    highest: int = 0
    stored: EventCounts = field(default_factory=EventCounts)
    moment: float = 100.0
    seconds_per_query: float = 0.0
    history: int = 0
    many_tasks: bool = False
    most_rows: int = 0
    old: int = 0

    def clock(self) -> float:
        return self.moment

    def add(self, number: int) -> None:
        """Make as many events visible."""
        self.visible |= set(range(self.highest + 1, self.highest + number + 1))
        self.highest += number

    def last(self) -> int:
        return self.highest

    def count(self, after: int, upto: int) -> Mapping[CountKey, Count]:
        assert upto - after <= event_counter.PAGE
        self.moment += self.seconds_per_query
        number = sum(after < event <= upto for event in self.visible)
        return {SUCCESS: Count(number, 10 * number)}

    def load(self) -> EventCounts:
        return self.stored

    def ended(self, after: int, upto: int, *, at: int) -> "Ended":
        """Stands for the history of these events, with as many rows as events, or with none."""
        return Ended(sum(after < event <= upto for event in self.visible), self.many_tasks)

    def forget_minutes(self, *, at: int) -> bool:
        self.moment += self.seconds_per_query
        self.old = max(0, self.old - 1)
        return self.old > 0

    def replace(self, old: EventCounts, new: EventCounts, minutes: "Ended") -> bool:
        if self.stored.upto != old.upto:
            return False
        self.stored = new
        self.history += minutes.events
        self.most_rows = max(self.most_rows, len(minutes))
        return True

    def counted(self) -> int:
        """The number of events in the stored counts, and in the history."""
        assert self.history == self.stored.counts.get(SUCCESS, Count(0, 0)).events
        return self.stored.counts.get(SUCCESS, Count(0, 0)).events


def count(events: Events, *leaders: EventCounter) -> int:
    """The stored number after each of these leaders has worked for at most a second."""
    for leader in leaders:
        leader.work(events.moment + 1)
    return events.counted()


def test_each_event_counts_once_whichever_process_is_the_leader() -> None:
    events = Events()
    first, second = EventCounter(events, events.clock), EventCounter(events, events.clock)
    events.add(3)
    assert count(events, first, second, first) == 3
    events.add(2 * PAGE)
    assert count(events, second) == 2 * PAGE + 3
    assert events.stored.counts[SUCCESS].ran == 10 * (2 * PAGE + 3)


def test_transaction_writes_a_bounded_number_of_rows_of_the_history() -> None:
    events = Events(many_tasks=True)
    events.add(3 * MOST_ROWS + 7)
    assert count(events, EventCounter(events, events.clock)) == 3 * MOST_ROWS + 7
    assert MOST_ROWS / 4 < events.most_rows <= MOST_ROWS


def test_two_leaders_at_one_moment_count_an_event_once(monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events()
    first, second = EventCounter(events, events.clock), EventCounter(events, events.clock)
    events.add(3)

    def load_while_the_other_leader_counts() -> EventCounts:
        monkeypatch.undo()
        stored = events.load()
        second.work(200)
        return stored

    monkeypatch.setattr(events, "load", load_while_the_other_leader_counts)
    first.work(200)
    assert events.counted() == 3


def test_an_event_that_becomes_visible_after_a_later_one_counts() -> None:
    events = Events(ordered=False)
    leader = EventCounter(events, events.clock)
    events.add(3)
    events.visible.discard(2)
    assert count(events, leader) == 0
    events.moment += SETTLED_AFTER - 0.1
    assert count(events, leader) == 0
    events.visible.add(2)
    events.moment += 0.1
    assert count(events, leader) == 3


def test_a_new_leader_waits_until_the_events_that_it_finds_have_settled() -> None:
    events = Events(ordered=False)
    events.add(3)
    for _ in range(3):
        assert count(events, EventCounter(events, events.clock)) == 0
        events.moment += SETTLED_AFTER


def test_a_long_backlog_is_counted_in_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_counter, "PAGE", 10)
    events = Events(seconds_per_query=0.6)
    leader = EventCounter(events, events.clock)
    events.add(25)
    assert [count(events, leader) for _ in range(2)] == [20, 25]


def test_counts_stay_while_the_database_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events()
    leader = EventCounter(events, events.clock)
    events.add(4)
    assert count(events, leader) == 4

    def fail(_: Events) -> int:
        raise DatabaseUnavailable("The database cannot be reached.")

    with monkeypatch.context() as unavailable:
        unavailable.setattr(Events, "last", fail)
        with pytest.raises(DatabaseUnavailable):
            leader.work(200)
    events.add(1)
    assert count(events, leader) == 5


def test_old_rows_are_deleted_batch_by_batch_while_there_is_time() -> None:
    events = Events(old=5, seconds_per_query=0.4)
    leader = EventCounter(events, events.clock)
    count(events, leader)
    assert events.old == 2
    count(events, leader)
    assert events.old == 0
