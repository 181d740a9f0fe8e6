"""Figures of several processes in one folder: none is lost or told twice, and the folder may fail."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest, values

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.monitoring.health import Health
from pacifica.dispatcher.monitoring.metrics import multiprocess
from pacifica.dispatcher.monitoring.metrics.instruments import Counts
from pacifica.dispatcher.monitoring.monitor import Monitor
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.stats import FigureStore
from pacifica.dispatcher.store.workers import WorkerStore

from ...openfiles import opened

Process = tuple[multiprocess.Place, Counts]


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instruments of other tests are made as ever, and each test is told what it may be told once."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    multiprocess.tell_once.cache_clear()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """What a process does that starts: each gets a place and instruments of its own."""
    places = []

    def process() -> Process:
        place = multiprocess.join(tmp_path)
        assert place is not None
        places.append(place)
        return place, Counts(None, {"add"})

    yield process
    for place in places:
        place.leave()


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Callable[[], Monitor]]:
    """Monitors with a folder, and a database that is away."""
    with closing(Database(f"sqlite:///{tmp_path}/no/such/folder.db")) as database:
        figures, outbox = FigureStore(database), Outbox(database)
        relay = SimpleNamespace(broker_state="ok", confirmed=None)
        health = Health(outbox, WorkerStore(database), lambda: relay, lambda: "ok", 30)
        yield lambda: Monitor(health, figures, outbox, {"add"}, tmp_path / "metrics")


def told(folder: Path) -> list[str]:
    """The samples of the folder."""
    registry = CollectorRegistry()
    registry.register(multiprocess.Sum(folder))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def full(*_: Any) -> None:
    """What a full disk answers."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def many(counts: Counts) -> None:
    """More labels than a new file has room for."""
    for number in range(60):
        counts.request(f"/{'long' * 20}/{number}", "GET", "200", 0.5)


def test_a_file_has_blocks_for_all_of_its_bytes(start: Callable[[], Process], tmp_path: Path) -> None:
    _, counts = start()
    many(counts)
    sizes = [(path.stat().st_size, path.stat().st_blocks * 512) for path in sorted(tmp_path.glob("*.db"))]
    assert max(size for size, _ in sizes) > multiprocess.SIZE
    assert all(blocks >= size for size, blocks in sizes), sizes


def test_what_a_full_disk_has_no_room_for_is_told_when_there_is_room_again(
    start: Callable[[], Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, counts = start()
    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", full)
        many(counts)
        assert len(told(tmp_path)) < 60 * 16
    many(counts)
    counted = [line for line in told(tmp_path) if "duration_seconds_count" in line]
    assert len(counted) == 60
    assert all(line.endswith(" 2.0") for line in counted)
    assert [record.message for record in caplog.records] == [
        f"Some figures stay in memory, as {tmp_path}/histogram_0.db cannot grow: No space left on device"
    ]


def test_on_a_full_disk_a_successor_goes_on_with_what_its_files_have(
    start: Callable[[], Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, counts = start()
    monkeypatch.setattr(multiprocess, "_fill", full)
    many(counts)
    before = told(tmp_path)
    place.leave()
    monkeypatch.setattr(multiprocess, "_fill", lambda _, size: None if size == multiprocess.SIZE else full())
    many(start()[1])
    counted = [line for line in before if "duration_seconds_count" in line]
    assert len(counted) > 1
    assert {line.replace(" 1.0", " 2.0") for line in counted} <= set(told(tmp_path))


def test_a_process_whose_folder_cannot_be_used_counts_for_itself(
    monitor: Callable[[], Monitor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", full)
    for _ in range(2):
        alone = monitor()
        alone.counts.dispatched("add", "accepted")
        assert 'dispatches_total{outcome="accepted",task="add"} 1.0' in alone.as_text().decode()
    assert told(tmp_path / "metrics") == []
    reason = "the folder of the metrics cannot be used: [Errno 28] No space left on device"
    assert [record.message for record in caplog.records if "multiprocess" in record.name] == [
        f"This process counts for itself, as {reason}"
    ]


def test_an_error_of_counting_stays_in_it_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    broken: Any = None
    counts = Counts(CollectorRegistry(), tasks=broken)
    for _ in range(3):
        counts.dispatched("add", "accepted")
    assert [record.message for record in caplog.records] == [
        "Something could not be counted; the next of its kind are not told."
    ]


def test_a_place_whose_files_were_removed_is_not_shared(start: Callable[[], Process], tmp_path: Path) -> None:
    _, first = start()
    first.request("/tasks", "GET", "200", 0.5)
    for path in (tmp_path / "gauge_sum_0.db", tmp_path / "counter_0.db"):
        path.unlink()
    _, second = start()
    for counts in (second, first):
        counts.request("/tasks", "GET", "200", 0.5)
    assert [line.rpartition(" ")[2] for line in told(tmp_path) if "duration_seconds_count" in line] == ["3.0"]


def test_a_scrape_keeps_the_files_young(start: Callable[[], Process], tmp_path: Path) -> None:
    start()
    for path in tmp_path.glob("*.db"):
        os.utime(path, (1.0, 1.0))
    told(tmp_path)
    assert all(path.stat().st_mtime > 1.0 for path in tmp_path.glob("*.db"))


def test_the_gauges_of_a_process_end_with_it_and_its_counts_stay(start: Callable[[], Process], tmp_path: Path) -> None:
    places = []
    for _ in range(3):
        place, counts = start()
        counts.places(4)
        counts.dispatched("add", "accepted")
        places.append(place)
    for place in places[1:]:
        place.leave()
    lines = told(tmp_path)
    assert "pacifica_dispatcher_waiters_limit 4.0" in lines
    assert 'pacifica_dispatcher_dispatches_total{outcome="accepted",task="add"} 3.0' in lines


def test_a_damaged_file_is_left_out_and_whoever_takes_it_begins_it_anew(
    start: Callable[[], Process], tmp_path: Path
) -> None:
    (tmp_path / "counter_0.db").write_bytes(b"\xff\x00\x00\x00\x00\x00\x00\x00garbage")
    assert told(tmp_path) == []
    _, counts = start()
    counts.dispatched("add", "accepted")
    assert 'pacifica_dispatcher_dispatches_total{outcome="accepted",task="add"} 1.0' in told(tmp_path)


def test_a_failed_begin_gives_its_place_back(monitor: Callable[[], Monitor], tmp_path: Path) -> None:
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            monitor().begin()
    assert len(list((tmp_path / "metrics").glob("counter_*.db"))) == 1
    assert opened(tmp_path) == []
