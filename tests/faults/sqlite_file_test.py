"""An SQLite file that is locked, read-only, or on a full disk."""

import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ..e2e.stack import Stack
from ..eventually import eventually, let_pass
from ..processes import BOUND_BY_MODES
from .cluster import Cluster, MakeCluster
from .invariants import assert_problem_quickly, check_record, unfinished
from .refusals import locked, try_to_dispatch, until_refused
from .servers import cannot_be_tested


def set_busy_timeout(cluster: Cluster, seconds: float) -> None:
    """Set how long a write waits for another writer of an SQLite file."""
    path = cluster.processes.cwd / "config.ini"
    path.write_text(path.read_text().replace("[celery]", f"busy_timeout = {seconds}\n[celery]"))


def test_dispatch_and_report_wait_for_a_locked_sqlite_file(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(lease_seconds=3)
    stack = Stack(cluster.processes, cluster.processes.start_web())
    cluster.worker()
    held = [stack.dispatch("hold", "held") for _ in range(2)]
    cluster.until_run("held", 2)
    with ThreadPoolExecutor(4) as clients:
        with locked(cluster):
            begin = time.monotonic()
            answers = [clients.submit(try_to_dispatch, stack, "double", number) for number in range(4)]
            cluster.release("held")
            assert stack.status(held[0])["state"] == "STARTED"
            let_pass(5)
            assert not any(answer.done() for answer in answers)
        accepted = [answer.result() for answer in answers]
    assert [answer.status_code for answer in accepted] == [202] * 4
    assert min(answer.elapsed.total_seconds() for answer in accepted) > 4
    assert time.monotonic() - begin < 12
    uuids = held + [answer.json()["uuid"] for answer in accepted]
    for uuid in uuids:
        assert cluster.ended(uuid, 30).state == "SUCCESS"
    record = cluster.check_final(uuids)
    assert {record.times_run(uuid) for uuid in uuids} == {1}


def test_dispatches_to_a_locked_file_are_refused_after_busy_timeout(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(lease_seconds=3)
    set_busy_timeout(cluster, 0.5)
    stack = Stack(cluster.processes, cluster.processes.start_web())
    before = stack.dispatch("double", 1)
    with ThreadPoolExecutor(8) as clients, locked(cluster):
        answers = list(clients.map(lambda number: try_to_dispatch(stack, "double", number), range(8)))
        assert stack.status(before)["uuid"] == before
    for answer in answers:
        assert "locked" in str(assert_problem_quickly(answer, 503)["detail"])
        assert int(answer.headers["Retry-After"]) > 0
    after = stack.dispatch("double", 2)
    cluster.worker()
    assert [cluster.ended(uuid, 30).result for uuid in (before, after)] == [2, 4]
    cluster.check_final([before, after])


@pytest.mark.parametrize("server", ["embedded"])
def test_dispatches_that_wait_for_a_lock_block_no_other_request(make_cluster: MakeCluster, server: str) -> None:
    cluster = make_cluster(lease_seconds=3)
    processes = cluster.processes
    stack = Stack(processes, processes.start_gunicorn(workers=1) if server == "gunicorn" else processes.start_web())
    before = stack.dispatch("double", 1)
    with ThreadPoolExecutor(40) as clients:
        with locked(cluster):
            answers = [clients.submit(try_to_dispatch, stack, "double", number) for number in range(40)]
            let_pass(1)
            assert not any(answer.done() for answer in answers), "the server has fewer threads than waiting dispatches"
            assert stack.status(before)["uuid"] == before
            assert stack.get("/health/ready").status_code == 200
        uuids = [before, *(answer.result().json()["uuid"] for answer in answers)]
    cluster.worker()
    for uuid in uuids:
        assert cluster.ended(uuid, 30).state == "SUCCESS"
    cluster.check_final(uuids)


@pytest.mark.parametrize("server", ["embedded", "gunicorn"])
def test_stopping_server_answers_dispatches_that_wait_for_a_lock(make_cluster: MakeCluster, server: str) -> None:
    cluster = make_cluster(lease_seconds=3)
    processes = cluster.processes
    web = processes.start_gunicorn(workers=1) if server == "gunicorn" else processes.start_web()
    stack = Stack(processes, web)
    stack.dispatch("double", 1)
    with ThreadPoolExecutor(3) as clients:
        with locked(cluster):
            answers = [clients.submit(try_to_dispatch, stack, "double", number) for number in range(3)]
            let_pass(0.5)
            web.send(signal.SIGTERM)
            let_pass(1)
            assert not any(answer.done() for answer in answers)
        assert [answer.result().status_code for answer in answers] == [202] * 3
    web.wait()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """No process that must obey the modes can write the folder and its files."""
    entries = [(path, path.stat().st_mode) for path in (*folder.iterdir(), folder)]
    for path, mode in entries:
        path.chmod(mode & 0o555)
    try:
        yield
    finally:
        for path, mode in reversed(entries):
            path.chmod(mode)


def test_read_only_sqlite_file_is_read_and_refuses_dispatches(make_cluster: MakeCluster, tmp_path: Path) -> None:
    folder = tmp_path / "record"
    folder.mkdir()
    cluster = make_cluster("database", f"sqliteext:///{folder}/db.sqlite3")
    uuids = [cluster.add("double", 1)]
    cluster.processes.through = BOUND_BY_MODES
    with read_only(folder):
        stack = Stack(cluster.processes, cluster.processes.start_web())
        answer = try_to_dispatch(stack, "double", 2)
        assert "read-only" in str(assert_problem_quickly(answer, 503)["detail"])
        assert int(answer.headers["Retry-After"]) > 0
        assert stack.status(uuids[0])["state"] == "PENDING"
        assert "read-only" in eventually(lambda: stack.get("/health/ready").json()["checks"]["database"].get("message"))
    uuids.append(eventually(lambda: again.json()["uuid"] if (again := try_to_dispatch(stack, "double", 2)).ok else ""))
    cluster.worker()
    assert [cluster.ended(uuid).result for uuid in uuids] == [2, 4]
    check_record(cluster.database_url, uuids)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with 5 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(path)],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if mounted.returncode != 0:
        cannot_be_tested(f"no file system of a fixed size can be mounted ({mounted.stderr.strip()})")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(disk: Path) -> Path:
    """Write until the disk is full, and return the file that fills it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 4096):
            pass
    return filler


def test_full_disk_refuses_dispatches_and_loses_no_accepted_job(make_cluster: MakeCluster, small_disk: Path) -> None:
    cluster = make_cluster("database", f"sqliteext:///{small_disk}/db.sqlite3", lease_seconds=3)
    stack = Stack(cluster.processes, cluster.processes.start_web())
    cluster.worker()
    held = [stack.dispatch("hold", "held") for _ in range(2)]
    cluster.until_run("held", 2)
    uuids = held + [stack.dispatch("double", number) for number in range(20)]
    filler = fill(small_disk)

    answer, accepted = until_refused(stack, "echo", "x" * 5_000)
    uuids += accepted
    assert "disk is full" in str(assert_problem_quickly(answer, 503)["detail"])
    assert int(answer.headers["Retry-After"]) > 0
    assert stack.status(held[0])["state"] == "STARTED"
    cluster.release("held")
    let_pass(1)
    assert stack.get("/health/live").status_code == 200
    ready = stack.get("/health/ready")
    assert (ready.status_code, ready.json()["checks"]["database"]["verdict"]) == (503, "unavailable")
    assert "disk is full" in ready.json()["checks"]["database"]["message"]
    filler.unlink()
    eventually(lambda: stack.get("/health/ready").status_code == 200, 15)
    eventually(lambda: unfinished(cluster.database, uuids) == 0, 40, "jobs did not end")
    uuids.append(stack.dispatch("double", 1))
    cluster.ended(uuids[-1])
    assert {job.state for job in cluster.check_final(uuids).jobs.values()} == {"SUCCESS"}
    assert len(cluster.runs("held")) == 2
    cluster.processes.kill()
    cluster.close()
