"""The commands of the README: curl dispatches a job, a worker runs it, curl reads the result."""

import subprocess
from collections.abc import Callable
from itertools import product

import pytest

from ..eventually import eventually
from ..processes import Processes
from .conftest import start_stack

BROKERS, DATABASES = ("rabbitmq", "redis", "database"), ("sqlite", "postgresql", "mysql")
GUNICORN = tuple(zip(BROKERS, DATABASES, strict=True))
STACKS = [(*pair, "gunicorn" if pair in GUNICORN else "embedded") for pair in product(BROKERS, DATABASES)]


def curl(url: str, *options: str) -> str:
    """Return the output of ``curl URL``."""
    command = ["curl", "-s", *options, url]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=60).stdout


def configure(processes: Processes, broker: str, database: str, queue: str) -> None:
    processes.write_config(
        f"[database]\npeewee_url = {database}\n"
        f"[celery]\nbroker_url = {broker}\ntask_default_queue = {queue}\n"
        "[dispatcher]\ntasks = lab\n"
    )


@pytest.mark.parametrize(("broker", "database", "server"), STACKS)
def test_curl_dispatches_a_job_and_reads_its_result(
    processes: Processes,
    make_broker: Callable[[str], str],
    make_database: Callable[[str], str],
    queue_name: str,
    broker: str,
    database: str,
    server: str,
) -> None:
    configure(processes, make_broker(broker), make_database(database), queue_name)
    stack = start_stack(processes, server)
    uuid = curl(f"{stack.url}/dispatch/add/2/2")
    job = stack.ended(uuid)
    assert (job["state"], job["result"]) == ("SUCCESS", 4)
    status = curl(f"{stack.url}/status/{uuid}")
    assert '"state": "SUCCESS"' in status
    assert '"result": 4' in status


def test_job_waits_for_a_worker_and_survives_the_server(processes: Processes, sqlite_url: str) -> None:
    configure(processes, "database://", sqlite_url, "dispatcher")
    stack = start_stack(processes, worker=False)
    uuid = curl(f"{stack.url}/dispatch/mul/a/3")
    assert stack.status(uuid)["state"] == "PENDING"
    stack.web.stop()
    stack.web = processes.start_web()
    assert stack.status(uuid)["state"] == "PENDING"
    processes.start_worker()
    assert stack.ended(uuid)["result"] == "aaa"


def test_job_accepted_while_the_broker_is_down_is_published_later(processes: Processes, sqlite_url: str) -> None:
    configure(processes, "redis://127.0.0.1:1/0", sqlite_url, "dispatcher")
    stack = start_stack(processes, worker=False)
    uuid = curl(f"{stack.url}/dispatch/add/2/2")
    eventually(lambda: "cannot be reached" in stack.get("/health/ready").json()["broker"])
    assert stack.status(uuid)["state"] == "PENDING"
    assert stack.get("/health/ready").json()["outbox"] == {"waiting": 1}
    stack.web.stop()
    configure(processes, "database://", sqlite_url, "dispatcher")
    stack.web = processes.start_web()
    processes.start_worker()
    assert stack.ended(uuid)["result"] == 4
