"""The metrics of several processes in one folder: none is lost or counted twice, and the folder may fail."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge, Summary, generate_latest, values

from pacifica.dispatcher.monitoring.metrics import multiprocess
from pacifica.dispatcher.monitoring.metrics.instruments import Counts
from pacifica.dispatcher.store.database import Database

from ...openfiles import open_files
from ..web_monitors import a_web_monitor

Process = tuple[multiprocess.Slot, Counts]
Start = Callable[[], Process]
DISPATCHED = 'pacifica_dispatcher_dispatches_total{outcome="accepted",task="add"}'


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores how instruments are made, and lets each test log its own warnings."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv(multiprocess.FOLDER, "")
    multiprocess.warn_once.cache_clear()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Does what a process does when it starts: it takes a slot and makes its instruments."""
    slots = []

    def process() -> Process:
        slot = multiprocess.join(tmp_path)
        assert slot is not None
        slots.append(slot)
        return slot, Counts(None, {"add"})

    yield process
    for slot in slots:
        slot.close()


def samples(folder: Path) -> list[str]:
    """The lines that a scrape returns for the folder."""
    registry = CollectorRegistry()
    registry.register(multiprocess.SharedCollector(folder))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def fail_as_full(*_: Any) -> None:
    """Fails as on a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def count_many_routes(counts: Counts) -> None:
    """Use more labels than a new file has room for."""
    for number in range(60):
        counts.request(f"/{'long' * 20}/{number}", "GET", "200", 0.5)


def test_a_file_has_blocks_for_all_of_its_bytes(start: Start, tmp_path: Path) -> None:
    _, counts = start()
    count_many_routes(counts)
    sizes = [(path.stat().st_size, path.stat().st_blocks * 512) for path in sorted(tmp_path.glob("*.db"))]
    assert max(size for size, _ in sizes) > multiprocess.SIZE
    assert all(blocks >= size for size, blocks in sizes), sizes


def test_on_a_full_disk_known_labels_count_and_new_ones_stay_in_memory(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, counts = start()
    counts.request("/tasks", "GET", "200", 0.5)
    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", fail_as_full)
        for _ in range(2):
            count_many_routes(counts)
            counts.request("/tasks", "GET", "200", 0.5)
    error = "[Errno 28] No space left on device"
    found = [line for line in samples(tmp_path) if "duration_seconds_count" in line]
    assert 1 < len(found) < 60
    assert (
        'pacifica_dispatcher_http_request_duration_seconds_count{method="GET",route="/tasks",status="200"} 3.0' in found
    )
    assert [record.message for record in caplog.records] == [
        f"Some metrics of this process are not reported, as its histogram file cannot be used: {error}"
    ]


def test_on_a_full_disk_a_new_process_goes_on_with_the_counters_in_the_files(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, counts = start()
    counts.dispatched("add", "accepted")
    slot.close()
    allocate = os.posix_fallocate
    monkeypatch.setattr(
        os, "posix_fallocate", lambda *given: allocate(*given) if given[2] == multiprocess.SIZE else fail_as_full()
    )
    start()[1].dispatched("add", "accepted")
    assert f"{DISPATCHED} 2.0" in samples(tmp_path)


def test_a_process_whose_folder_cannot_be_used_reports_its_own_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", fail_as_full)
    with closing(Database(f"sqlite:///{tmp_path}/no/such/folder.db")) as database:
        for _ in range(2):
            monitor = a_web_monitor(database, tmp_path / "metrics")
            monitor.counts.dispatched("add", "accepted")
            assert f"{DISPATCHED} 1.0" in monitor.as_text().decode()
    assert samples(tmp_path / "metrics") == []
    assert open_files(tmp_path) == []
    reason = "their folder cannot be used: [Errno 28] No space left on device"
    assert [record.message for record in caplog.records if "multiprocess" in record.name] == [
        f"This process reports its own metrics only, as {reason}"
    ]


def test_an_error_in_counting_is_not_raised_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    broken: Any = None
    counts = Counts(CollectorRegistry(), tasks=broken)
    for _ in range(3):
        counts.dispatched("add", "accepted")
    assert [record.message for record in caplog.records] == [
        "Unhandled exception while counting; further ones of this kind are not logged."
    ]


def test_a_slot_whose_files_were_removed_is_not_shared(start: Start, tmp_path: Path) -> None:
    _, first = start()
    first.request("/tasks", "GET", "200", 0.5)
    for path in (tmp_path / "gauge_sum_0.db", tmp_path / "counter_0.db"):
        path.unlink()
    _, second = start()
    for counts in (second, first):
        counts.request("/tasks", "GET", "200", 0.5)
    assert [line.rpartition(" ")[2] for line in samples(tmp_path) if "duration_seconds_count" in line] == ["3.0"]


def test_a_scrape_touches_the_files_so_that_cleaners_spare_them(start: Start, tmp_path: Path) -> None:
    start()
    for path in tmp_path.glob("*.db"):
        os.utime(path, (1.0, 1.0))
    samples(tmp_path)
    assert all(path.stat().st_mtime > 1.0 for path in tmp_path.glob("*.db"))


def test_gauges_end_with_their_process_and_counters_stay(start: Start, tmp_path: Path) -> None:
    slots = []
    for _ in range(3):
        slot, counts = start()
        counts.places(4)
        counts.dispatched("add", "accepted")
        slots.append(slot)
    for slot in slots[1:]:
        slot.close()
    lines = samples(tmp_path)
    assert "pacifica_dispatcher_waiters_limit 4.0" in lines
    assert f"{DISPATCHED} 3.0" in lines


def test_a_process_takes_the_slot_of_one_that_has_ended(start: Start, tmp_path: Path) -> None:
    for _ in range(3):
        slot, counts = start()
        counts.dispatched("add", "accepted")
        slot.close()
    assert len(list(tmp_path.glob("*.db"))) == 3
    assert open_files(tmp_path) == []
    assert f"{DISPATCHED} 3.0" in samples(tmp_path)


def test_instruments_of_tasks_may_be_of_any_kind(start: Start, tmp_path: Path) -> None:
    start()
    Gauge("temperature", "A gauge of a task.", ("room",), registry=None).labels("attic").set(20)
    Summary("lines", "A summary of a task.", registry=None).observe(3)
    assert "lines_sum 3.0" in samples(tmp_path)


def test_a_damaged_file_fails_no_scrape_and_is_replaced_by_the_next_process(start: Start, tmp_path: Path) -> None:
    (tmp_path / "counter_0.db").write_bytes(b"\xff\x00\x00\x00\x00\x00\x00\x00garbage")
    assert samples(tmp_path) == []
    _, counts = start()
    counts.dispatched("add", "accepted")
    assert f"{DISPATCHED} 1.0" in samples(tmp_path)
