"""Workers that die, stop, freeze or are told to end, with jobs in hand."""

import signal

import pytest

from ..eventually import eventually
from .bench import Make

PAIRS = [("rabbitmq", "postgresql"), ("redis", "sqlite"), ("database", "sqlite"), ("database", "mysql")]


@pytest.mark.parametrize(("broker", "database"), PAIRS)
def test_a_job_whose_worker_was_killed_is_run_by_another(make_bench: Make, broker: str, database: str) -> None:
    bench = make_bench(broker, database)
    first = bench.worker()
    uuid = bench.add("hold", "a")
    bench.until_run("a")
    second = bench.worker()
    first.kill()
    bench.until_held(second, "a")
    bench.let_go("a")
    job = bench.ended(uuid)
    assert (job.state, job.result, job.attempt) == ("SUCCESS", "a", 2)
    assert [kind for kind in bench.history(uuid) if kind != "DROPPED"] == [
        "PENDING",
        "STARTED",
        "LOST",
        "STARTED",
        "SUCCESS",
    ]
    bench.once_final([uuid])


def test_all_that_a_killed_worker_had_in_hand_is_run_by_the_next(make_bench: Make) -> None:
    bench = make_bench()
    first = bench.worker()
    held = [bench.add("hold", "a") for _ in range(2)]
    bench.until_run("a", 2)
    prefetched = [bench.add("note", f"n{number}") for number in range(6)]
    eventually(lambda: all(bench.job(uuid).published for uuid in prefetched))
    first.kill()
    bench.let_go("a")
    bench.worker()
    uuids = [*held, *prefetched]
    assert [bench.ended(uuid, 60).attempt for uuid in uuids] == [2] * 2 + [1] * 6
    assert [len(bench.runs(f"n{number}")) for number in range(6)] == [1] * 6
    bench.once_final(uuids)


def test_only_the_main_process_killed_leaves_no_job_behind(make_bench: Make) -> None:
    bench = make_bench()
    first = bench.worker()
    uuid = bench.add("hold", "a")
    bench.until_run("a")
    first.send(signal.SIGKILL)
    second = bench.worker()
    bench.until_held(second, "a")
    bench.let_go("a")
    job = bench.ended(uuid)
    assert (job.state, job.attempt) == ("SUCCESS", 2)
    bench.once_final([uuid])


def test_a_job_that_loses_every_worker_fails(make_bench: Make) -> None:
    bench = make_bench()
    uuid = bench.add("hold", "a", max_attempts=2)
    for attempt in (1, 2):
        worker = bench.worker(concurrency=1)
        bench.until_run("a", attempt)
        worker.kill()
    bench.worker(concurrency=1)
    job = bench.ended(uuid)
    assert (job.state, job.attempt) == ("FAILURE", 2)
    assert job.error is not None
    assert (job.error.type, len(bench.runs("a"))) == ("WorkerLostError", 2)
    bench.once_final([uuid])


POOLS = ["prefork", "threads", "solo"]


@pytest.mark.parametrize("pool", POOLS)
def test_sigterm_lets_a_job_finish(make_bench: Make, pool: str) -> None:
    bench = make_bench()
    worker = bench.worker("-P", pool, concurrency=1)
    uuid = bench.add("hold", "a")
    bench.until_run("a")
    worker.send(signal.SIGTERM)
    worker.wait_until_it_says("Warm shutdown")
    worker.send(signal.SIGTERM)
    bench.let_go("a")
    assert worker.wait(10) == 0
    assert (bench.job(uuid).state, bench.job(uuid).attempt) == ("SUCCESS", 1)
    assert bench.workers.beats() == {}
    bench.once_final([uuid])


@pytest.mark.parametrize("pool", POOLS)
def test_sigterm_puts_back_a_job_that_takes_too_long(make_bench: Make, pool: str) -> None:
    bench = make_bench(lease_seconds=20, stop_seconds=0.5)
    worker = bench.worker("-P", pool, concurrency=1)
    uuid = bench.add("hold", "a")
    bench.until_run("a")
    worker.send(signal.SIGTERM)
    worker.wait(8)
    job = bench.job(uuid)
    assert (job.state, job.attempt) == ("PENDING", 1)
    assert (job.due is not None, job.published) == (True, None), "it waits in the outbox"
    assert bench.history(uuid)[-1] == "LOST"
    bench.let_go("a")
    bench.worker(concurrency=1)
    job = bench.ended(uuid, 5)
    assert (job.state, job.attempt) == ("SUCCESS", 2)
    bench.once_final([uuid])


def test_sigterm_to_a_worker_and_its_children_puts_jobs_back(make_bench: Make) -> None:
    """As systemd does, unless it is told otherwise: the children end at once, which is no failure of their jobs."""
    bench = make_bench(lease_seconds=20)
    worker = bench.worker()
    uuids = [bench.add("hold", "a") for _ in range(2)]
    bench.until_run("a", 2)
    worker.send_to_all(signal.SIGTERM)
    bench.worker()
    bench.until_run("a", 4)
    bench.let_go("a")
    assert [(bench.ended(uuid).state, bench.job(uuid).attempt) for uuid in uuids] == [("SUCCESS", 2)] * 2
    bench.once_final(uuids)


def test_a_task_that_ignores_sigterm_does_not_keep_a_worker_that_is_told_to_end(make_bench: Make) -> None:
    bench = make_bench(lease_seconds=20, stop_seconds=0.5)
    worker = bench.worker(concurrency=1)
    uuid = bench.add("stubborn", "a")
    bench.until_run("a")
    worker.send(signal.SIGTERM)
    worker.wait(15)
    assert bench.job(uuid).state == "PENDING"
    bench.let_go("a")
    bench.worker(concurrency=1)
    assert bench.ended(uuid, 5).attempt == 2
    bench.once_final([uuid])


@pytest.mark.parametrize("broker", ["rabbitmq", "redis", "database"])
def test_what_was_prefetched_runs_elsewhere_when_a_worker_stops(make_bench: Make, broker: str) -> None:
    bench = make_bench(broker, lease_seconds=20, republish_seconds=600)
    first = bench.worker(concurrency=1)
    held = bench.add("hold", "a")
    bench.until_run("a")
    prefetched = [bench.add("note", f"n{number}") for number in range(3)]
    eventually(lambda: all(bench.job(uuid).published for uuid in prefetched))
    first.send(signal.SIGTERM)
    first.wait_until_it_says("Warm shutdown")
    bench.let_go("a")
    assert first.wait(10) == 0
    bench.worker(concurrency=1)
    assert [bench.ended(uuid).state for uuid in (held, *prefetched)] == ["SUCCESS"] * 4
    assert [len(bench.runs(f"n{number}")) for number in range(3)] == [1] * 3
    bench.once_final([held, *prefetched])


@pytest.mark.parametrize("broker", ["rabbitmq", "database"])
def test_the_late_report_of_a_worker_that_was_frozen_is_refused(make_bench: Make, broker: str) -> None:
    bench = make_bench(broker)
    first = bench.worker(concurrency=1)
    uuid = bench.add("hold", "a")
    bench.until_run("a")
    first.send_to_all(signal.SIGSTOP)
    second = bench.worker(concurrency=1)
    bench.until_held(second, "a")
    bench.let_go("a")
    assert bench.ended(uuid).attempt == 2
    first.send_to_all(signal.SIGCONT)
    eventually(lambda: "LATE" in bench.history(uuid))
    job = bench.job(uuid)
    assert (job.state, job.result, job.attempt) == ("SUCCESS", "a", 2)
    other = [bench.add("hold", "b") for _ in range(2)]
    bench.until_held(first, "b")
    bench.let_go("b")
    assert [bench.ended(one).attempt for one in other] == [1, 1]
    bench.once_final([uuid, *other])


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_worker_of_any_pool_is_alive_while_its_job_is_long(make_bench: Make, pool: str) -> None:
    bench = make_bench(lease_seconds=0.5)
    worker = bench.worker("-P", pool, concurrency=1)
    uuid = bench.add("hold", "a")
    bench.until_held(worker, "a")
    (holder, beat), *_ = bench.workers.beats().items()
    eventually(lambda: bench.workers.beats()[holder] > beat + 12)
    bench.let_go("a")
    assert (bench.ended(uuid).attempt, bench.history(uuid)) == (1, ["PENDING", "STARTED", "SUCCESS"])
