"""A database that is restarted, late, locked, full, read-only, silent, or empty when many processes start."""

import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Barrier, Event

import peewee
import psycopg
import pymysql
import pytest
import requests

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.store.database import Database

from ..e2e.stack import Stack
from ..eventually import eventually
from ..processes import BOUND_BY_MODES, Processes, Running, free_port
from ..services import DATABASES, MYSQL, POSTGRESQL, REDIS, TABLE
from .cluster import TASKS, Cluster, MakeCluster
from .invariants import assert_problem_quickly, check_record, unfinished
from .servers import Server, cannot_be_tested

OwnDatabase = Callable[..., Server]
RecordFigure = Callable[[str, object], None]


def try_to_dispatch(stack: Stack, task: str, *args: object) -> requests.Response:
    """Send one dispatch, and return the answer."""
    return stack.request("POST", f"/dispatch/{task}", json={"args": args})


def until_refused(stack: Stack, task: str, *args: object) -> tuple[requests.Response, list[str]]:
    """Dispatch until a refusal; return it and the UUIDs of the jobs that were accepted before."""
    answers: list[requests.Response] = []

    def refused() -> bool:
        answers.append(try_to_dispatch(stack, task, *args))
        return answers[-1].status_code != 202

    eventually(refused, 20)
    return answers[-1], [str(answer.json()["uuid"]) for answer in answers[:-1]]


def set_busy_timeout(cluster: Cluster, seconds: float) -> None:
    """Set how long a write waits for another writer of an SQLite file."""
    path = cluster.processes.cwd / "config.ini"
    path.write_text(path.read_text().replace("[celery]", f"busy_timeout = {seconds}\n[celery]"))


@contextmanager
def locked(cluster: Cluster) -> Iterator[None]:
    """Another program holds the lock of the SQLite file."""
    path = cluster.database_url.removeprefix("sqliteext:///")
    with closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def wait_for(seconds: float) -> None:
    """Wait while a fault lasts."""
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= end, seconds + 5)


@pytest.mark.parametrize(("kind", "broker"), [(POSTGRESQL, REDIS), (POSTGRESQL, TABLE), (MYSQL, TABLE)])
def test_restarted_and_killed_database_loses_and_doubles_no_job(
    make_cluster: MakeCluster,
    own_database: OwnDatabase,
    make_broker: Callable[[str], str],
    kind: str,
    broker: str,
    record_figure: RecordFigure,
) -> None:
    server = own_database(kind)
    cluster = make_cluster(make_broker(broker), server.url, lease_seconds=5, republish_seconds=5)
    stack = Stack(cluster.processes, cluster.processes.start_web())
    cluster.worker()
    uuids = [stack.dispatch("nap", 0.03) for _ in range(100)]
    eventually(lambda: unfinished(cluster.database, uuids) <= 90, 40)
    server.stop()
    problem = assert_problem_quickly(answer := try_to_dispatch(stack, "nap", 0), 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert problem["type"] == "urn:pacifica-dispatcher:problem:database-unavailable"
    assert stack.get("/health/ready").status_code == 503
    server.start()
    uuids += [stack.dispatch("nap", 0.03) for _ in range(100)]
    eventually(lambda: unfinished(cluster.database, uuids) <= 120, 40)
    left = unfinished(cluster.database, uuids)
    server.kill()
    server.start()
    back = time.monotonic()
    eventually(lambda: unfinished(cluster.database, uuids) == 0, 60, "jobs did not end")
    record_figure(f"the last {left} jobs ended after s", round(time.monotonic() - back, 2))
    record = cluster.check_final(uuids)
    assert {job.state for job in record.jobs.values()} == {"SUCCESS"}
    assert {record.times_run(uuid) for uuid in uuids} == {1}


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
            wait_for(5)
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


@pytest.mark.parametrize("server", ["embedded", "gunicorn"])
def test_dispatches_that_wait_for_a_lock_block_no_other_request(make_cluster: MakeCluster, server: str) -> None:
    cluster = make_cluster(lease_seconds=3)
    processes = cluster.processes
    stack = Stack(processes, processes.start_gunicorn(workers=1) if server == "gunicorn" else processes.start_web())
    before = stack.dispatch("double", 1)
    with ThreadPoolExecutor(40) as clients:
        with locked(cluster):
            answers = [clients.submit(try_to_dispatch, stack, "double", number) for number in range(40)]
            wait_for(1)
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
            wait_for(0.5)
            web.send(signal.SIGTERM)
            wait_for(1)
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
    wait_for(1)
    assert stack.get("/health/live").status_code == 200
    filler.unlink()
    eventually(lambda: unfinished(cluster.database, uuids) == 0, 40, "jobs did not end")
    uuids.append(stack.dispatch("double", 1))
    cluster.ended(uuids[-1])
    assert {job.state for job in cluster.check_final(uuids).jobs.values()} == {"SUCCESS"}
    assert len(cluster.runs("held")) == 2
    for process in cluster.processes.running:
        process.kill()
    cluster.close()


def make_postgresql_read_only(server: Server, *, on: bool) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}")
        connection.execute("SELECT pg_reload_conf()")

    def seen() -> bool:
        with psycopg.connect(server.url) as connection:
            row = connection.execute("SHOW default_transaction_read_only").fetchone()
            return row == ("on" if on else "off",)

    eventually(seen)


def on_mariadb(server: Server, *statements: str) -> None:
    port = int(server.url.split("127.0.0.1:")[1].split("/")[0])
    with (
        closing(pymysql.connect(host="127.0.0.1", port=port, user="root", autocommit=True)) as connection,
        connection.cursor() as cursor,
    ):
        for statement in statements:
            cursor.execute(statement)


def make_read_only(server: Server, *, on: bool) -> None:
    """Let the server refuse every write of the service, or accept them again."""
    if server.kind == POSTGRESQL:
        make_postgresql_read_only(server, on=on)
    else:
        on_mariadb(server, f"SET GLOBAL read_only = {int(on)}")


def url_of_plain_user(server: Server) -> str:
    """Return the URL of a user without privileges: MariaDB lets root write despite ``read_only``."""
    if server.kind == POSTGRESQL:
        return server.url
    on_mariadb(server, "CREATE USER plain@127.0.0.1", "CREATE USER plain@localhost")
    on_mariadb(server, *(f"GRANT ALL ON dispatcher.* TO plain@{host}" for host in ("127.0.0.1", "localhost")))
    return server.url.replace("root@", "plain@")


@pytest.mark.parametrize("kind", [POSTGRESQL, MYSQL])
def test_read_only_database_refuses_dispatches_and_loses_no_job(
    make_cluster: MakeCluster, own_database: OwnDatabase, kind: str
) -> None:
    server = own_database(kind)
    cluster = make_cluster("database", url_of_plain_user(server), lease_seconds=3)
    stack = Stack(cluster.processes, cluster.processes.start_web())
    cluster.worker()
    uuids = [stack.dispatch("hold", "held") for _ in range(2)]
    cluster.until_run("held", 2)
    uuids += [stack.dispatch("double", number) for number in range(20)]
    make_read_only(server, on=True)
    answer, accepted = until_refused(stack, "double", 1)
    uuids += accepted
    assert "read-only" in str(assert_problem_quickly(answer, 503)["detail"])
    assert int(answer.headers["Retry-After"]) > 0
    assert stack.status(uuids[0])["state"] == "STARTED"
    cluster.release("held")
    wait_for(1)
    make_read_only(server, on=False)
    eventually(lambda: unfinished(cluster.database, uuids) == 0, 40, "jobs did not end")
    uuids.append(stack.dispatch("double", 1))
    cluster.ended(uuids[-1])
    assert {job.state for job in cluster.check_final(uuids).jobs.values()} == {"SUCCESS"}
    assert len(cluster.runs("held")) == 2


def configure(processes: Processes, database_url: str) -> None:
    """Write settings and tasks, without a connection to the database."""
    processes.add_module(TASKS)
    processes.write_config(
        f"[database]\npeewee_url = {database_url}\nconnect_attempts = 300\nconnect_wait = 0.2\n"
        f"[celery]\nbroker_url = database://\n[dispatcher]\ntasks = {TASKS.stem}\n"
    )


def launch(processes: Processes) -> tuple[Running, Running]:
    """Start a web server and a worker, without waiting."""
    port = free_port()
    web = ("-m", "pacifica.dispatcher", "-p", str(port))
    worker = ("-m", "celery", "-A", "pacifica.dispatcher.tasks", "worker", "-c", "1", "-n", f"late-{port}@%h")
    return (
        processes.start("web", web, url=f"http://127.0.0.1:{port}"),
        processes.start("worker", (*worker, "-l", "info")),
    )


@pytest.mark.parametrize("kind", [POSTGRESQL, MYSQL])
def test_server_and_worker_wait_for_their_database(processes: Processes, own_database: OwnDatabase, kind: str) -> None:
    server = own_database(kind, running=False)
    configure(processes, server.url)
    web, worker = launch(processes)
    for process in (web, worker):
        process.wait_until_it_says("Attempt 2 of 300")
    server.start()
    web.wait_until_it_serves()
    worker.wait_until_it_says(r"@\S+ ready\.")
    stack = Stack(processes, web)
    uuids = [stack.dispatch("double", number) for number in range(5)]
    assert [stack.ended(uuid)["result"] for uuid in uuids] == [0, 2, 4, 6, 8]
    check_record(server.url, uuids)
    for process in processes.running:
        process.kill()


def test_gunicorn_refuses_requests_until_its_database_is_up(processes: Processes, own_database: OwnDatabase) -> None:
    server = own_database(POSTGRESQL, running=False)
    configure(processes, server.url)
    port = free_port()
    arguments = ("-m", "gunicorn", "-w", "1", "-b", f"127.0.0.1:{port}", "pacifica.dispatcher.wsgi:application")
    web = processes.start("gunicorn", arguments, url=f"http://127.0.0.1:{port}")
    web.wait_until_it_says("Booting worker")
    stack = Stack(processes, web)
    assert stack.get("/dispatch/add/2/2").status_code == 503  # The first request also waits for the imports.
    answer = stack.get("/dispatch/add/2/2")
    assert_problem_quickly(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    server.start()
    uuid = stack.get("/dispatch/add/2/2").text
    processes.start_worker(concurrency=1)
    assert stack.ended(uuid)["result"] == 4
    check_record(server.url, [uuid])
    for process in processes.running:
        process.kill()


@pytest.mark.parametrize("kind", [POSTGRESQL, MYSQL])
@pytest.mark.parametrize("pool", ["", "+pool"])
def test_statements_give_up_a_silent_server_independently(own_database: OwnDatabase, kind: str, pool: str) -> None:
    server = own_database(kind)
    database = Database(server.url.replace("://", f"{pool}://"), answer_timeout=1.0)
    inside, silent = Barrier(6), Event()  # Five threads and the test itself.

    def take_part(number: int) -> float:
        def meet(db: peewee.Database) -> None:
            db.execute_sql("SELECT 1")
            inside.wait(20)

        if number < 5:
            database.read(meet)  # Then the thread or the pool has a connection.
        assert silent.wait(20)
        begin = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="it did not answer in time"):
            (database.read if number % 2 else database.write)(lambda db: db.execute_sql("SELECT 1"))
        return time.monotonic() - begin

    with ThreadPoolExecutor(10) as threads:
        waits = [threads.submit(take_part, number) for number in range(10)]
        inside.wait(20)
        wait_for(0.5)
        server.suspend()
        silent.set()
        try:
            assert max(wait.result(60) for wait in waits) < 5
        finally:
            server.resume()
    assert database.read(lambda db: db.execute_sql("SELECT 1").fetchone()[0]) == 1
    database.peewee.close_all() if pool else database.close()


@pytest.mark.parametrize("kind", [POSTGRESQL, MYSQL])
@pytest.mark.parametrize("pool", ["", "+pool"])
def test_silent_database_is_given_up_in_time(
    make_cluster: MakeCluster, own_database: OwnDatabase, kind: str, pool: str
) -> None:
    server = own_database(kind)
    cluster = make_cluster("database", server.url.replace("://", f"{pool}://"), lease_seconds=3, answer_timeout=1)
    stack = Stack(cluster.processes, cluster.processes.start_web())
    cluster.worker()
    held = stack.dispatch("hold", "held")
    cluster.until_run("held", 1)
    server.suspend()
    asked = ["/dispatch/double/1", f"/status/{held}", "/health/ready"]
    with ThreadPoolExecutor(len(asked)) as clients:
        answers = list(clients.map(stack.get, asked))
    server.resume()
    for answer in answers:
        assert answer.status_code == 503
        # A new connection may take 2 s, psycopg's minimum; and all three may have waited for one thread.
        assert answer.elapsed.total_seconds() < 8, answer.url
    for answer in answers[:2]:
        assert "did not answer in time" in answer.json()["detail"]
        assert int(answer.headers["Retry-After"]) > 0
    cluster.release("held")
    uuids = [held, eventually(lambda: answer.text if (answer := stack.get("/dispatch/double/2")).ok else None, 20)]
    for uuid in uuids:
        assert cluster.ended(uuid, 40).state == "SUCCESS"
    check_record(server.url, uuids)


@pytest.mark.parametrize("kind", DATABASES)
def test_processes_that_start_together_share_an_empty_database(
    processes: Processes, make_database: Callable[[str], str], kind: str
) -> None:
    url = make_database(kind)
    configure(processes, url)
    started = [process for _ in range(2) for process in launch(processes)]
    for web in started[::2]:
        web.wait_until_it_serves(60)
    for worker in started[1::2]:
        worker.wait_until_it_says(r"@\S+ ready\.", 60)
    uuids = [Stack(processes, web).dispatch("double", 2) for web in started[::2] for _ in range(5)]
    assert {Stack(processes, started[0]).ended(uuid)["result"] for uuid in uuids} == {4}
    assert not [process.name for process in started if "already exists" in process.output()]
    record = check_record(url, uuids)
    assert {record.times_run(uuid) for uuid in uuids} == {1}
    for process in started:
        process.kill()
