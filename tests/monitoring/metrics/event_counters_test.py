"""Counting how jobs end, from their events: each once, whoever looks."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.monitoring.metrics import event_counters
from pacifica.dispatcher.monitoring.metrics.event_counters import InFolder, InMemory, Keep, Tally
from pacifica.dispatcher.store.stats import Ended


class History:
    """Events that are there, by their ids."""

    def __init__(self, *, ordered: bool = True) -> None:
        self.ordered = ordered
        self.events: set[int] = set()
        self.highest = 0
        self.away = False

    def happen(self, number: int) -> None:
        """So many events, one behind the other."""
        self.events |= set(range(self.highest + 1, self.highest + number + 1))
        self.highest += number

    def last(self) -> int:
        if self.away:
            raise DatabaseUnavailable("It is away.")
        return self.highest

    def ended(self, after: int, upto: int) -> list[Ended]:
        number = sum(after < event <= upto for event in self.events)
        return [Ended("add", "SUCCESS", 3, number, 10 * number), Ended(None, "STARTED", None, number, 0)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look may read."""
    monkeypatch.setattr(event_counters, "LOOK", 0.0)


@pytest.fixture(params=["memory", "folder"])
def make_keep(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Keep]:
    """Where it is kept: each process of a folder has its own, a process alone has one."""
    alone = InMemory()
    return (lambda: InFolder(tmp_path)) if request.param == "folder" else lambda: alone


def counted(one: Tally) -> int:
    """How many runs have been counted."""
    return one.look().runs["add", "SUCCESS", 3]


def test_each_event_counts_once_whichever_process_looks(make_keep: Callable[[], Keep]) -> None:
    history = History()
    history.happen(7)
    first, second = Tally(history, make_keep()), Tally(history, make_keep())
    first.begin()
    assert counted(first) == 0
    history.happen(3)
    second.begin()
    assert [counted(one) for one in (second, first, second)] == [3, 3, 3]
    history.happen(2 * event_counters.PAGE)
    seen = first.look()
    assert (seen.events["add", "SUCCESS"], seen.events["", "STARTED"]) == (2 * event_counters.PAGE + 3,) * 2
    assert (seen.ran["add", "SUCCESS"], seen.left) == (10 * (2 * event_counters.PAGE + 3), 0)


def test_an_event_that_shows_up_behind_a_later_one_counts(make_keep: Callable[[], Keep]) -> None:
    history = History(ordered=False)
    one = Tally(history, make_keep())
    one.begin()
    history.happen(3)
    history.events.discard(2)
    assert counted(one) == 0
    history.events.add(2)
    assert counted(one) == 3


def test_while_the_database_is_away_what_was_counted_stays(make_keep: Callable[[], Keep]) -> None:
    history = History()
    one = Tally(history, make_keep())
    one.begin()
    history.happen(4)
    assert counted(one) == 4
    history.away = True
    assert counted(one) == 4


def test_whoever_comes_while_another_one_looks_gets_what_was_before(make_keep: Callable[[], Keep]) -> None:
    history, keep = History(), make_keep()
    one = Tally(history, make_keep())
    one.begin()
    history.happen(4)
    with keep.turn() as ours:
        assert ours
        assert counted(one) == 0
    assert counted(one) == 4


def test_a_long_backlog_is_counted_in_several_looks(
    make_keep: Callable[[], Keep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_counters, "LONGEST", 0.0)
    monkeypatch.setattr(event_counters, "PAGE", 10)
    history = History()
    one = Tally(history, make_keep())
    one.begin()
    history.happen(25)
    assert 0 <= one.look().left <= 25
    monkeypatch.setattr(event_counters, "LONGEST", 1.0)
    assert (counted(one), one.look().left) == (25, 0)


@pytest.mark.parametrize(
    "text", ["", '{"place":', "[]", '{"place":null,"last":0,"at":0,"events":[],"runs":[],"ran":[]}']
)
def test_a_damaged_file_counts_as_none(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    history = History()
    history.happen(7)
    (tmp_path / "tally.json").write_text(text, encoding="ascii")
    one = Tally(history, InFolder(tmp_path))
    assert counted(one) == 0
    one.begin()
    history.happen(3)
    assert [counted(one) for _ in range(2)] == [3, 3]
    assert len(caplog.records) <= 1


def test_a_folder_that_is_gone_fails_no_scrape(tmp_path: Path) -> None:
    history = History()
    one = Tally(history, InFolder(tmp_path / "gone"))
    one.begin()
    history.happen(3)
    assert counted(one) == 0
