"""A database server that is restarted, late, silent, read-only, or empty when many processes start."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier, Event

import peewee
import psycopg
import pymysql
import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.store.database import Database

from ..e2e.stack import Stack
from ..eventually import eventually, let_pass
from ..processes import Processes, Running, free_port
from ..services import DATABASES, MYSQL, POSTGRESQL, REDIS, TABLE
from .cluster import TASKS, MakeCluster
from .invariants import assert_problem_quickly, check_record, unfinished
from .refusals import try_to_dispatch, until_refused
from .servers import Server

OwnDatabase = Callable[..., Server]
RecordFigure = Callable[[str, object], None]


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
    let_pass(1)
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
    processes.kill()


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
    processes.kill()


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
        let_pass(0.5)
        server.suspend()
        silent.set()
        try:
            assert max(wait.result(60) for wait in waits) < 5
        finally:
            server.resume()
    assert database.read(lambda db: db.execute_sql("SELECT 1").fetchone()[0]) == 1
    database.peewee.close_all() if pool else database.close()


@pytest.mark.parametrize(("kind", "pool"), [(POSTGRESQL, "+pool"), (MYSQL, "")])
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
