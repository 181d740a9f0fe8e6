"""The client and a server that is killed and started again."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from pacifica.dispatcher.client import DispatcherClient, JobEvent, NotReachable, Retry
from pacifica.dispatcher.client.follow import Follower

from ..eventually import eventually
from ..processes import Processes, Running, free_port

pytestmark = pytest.mark.slow

PATIENT = Retry(60, backoff_factor=0.05, backoff_max=0.5)


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Running]]:
    """Starts the server, always at the same port and with the same database; it needs no worker."""
    with Processes(tmp_path_factory.mktemp("server"), {"BROKER_URL": "database://"}) as processes:
        port = free_port()

        def start() -> Running:
            arguments = ("-m", "pacifica.dispatcher", "-p", str(port))
            return processes.start("web", arguments, url=f"http://127.0.0.1:{port}")

        yield start


def test_events_continue_after_a_killed_and_after_a_stopped_server(begin: Callable[[], Running]) -> None:
    server = begin()
    server.wait_until_it_serves()
    with DispatcherClient(server.url, retries=PATIENT) as client:
        seen: list[JobEvent] = []
        follower = Follower(client.connection, "/events", None)
        reading = threading.Thread(target=lambda: seen.extend(islice(follower, 4)))
        reading.start()
        # There is no event yet, so this is the place where the service began the stream.
        eventually(lambda: follower.place)
        server.kill()
        jobs, server = [], begin()
        server.wait_until_it_serves()
        jobs.append(client.dispatch("add", 1, 1))
        jobs.append(client.dispatch("add", 2, 2))
        eventually(lambda: len(seen) == 2)
        server.stop()
        server = begin()
        jobs[0].cancel()
        jobs[1].cancel()
        reading.join(30)
        assert [(event.job, event.kind) for event in seen] == [
            (job.uuid, kind) for kind in ("PENDING", "REVOKED") for job in jobs
        ]
        server.stop()


def test_requests_survive_a_killed_server_that_returns(begin: Callable[[], Running]) -> None:
    server = begin()
    server.wait_until_it_serves()
    with DispatcherClient(server.url, retries=PATIENT) as client, ThreadPoolExecutor(2) as threads:
        job = client.dispatch("add", 1, 1, options={"countdown": 600, "labels": {"run": "killed"}})
        waiting = threads.submit(job.wait, 60)
        server.kill()
        sent = threads.submit(client.dispatch, "add", 1, 2, options={"labels": {"run": "killed"}})
        server = begin()
        server.wait_until_it_serves()
        job.cancel()
        assert waiting.result(30).state == "REVOKED"
        both = {job.uuid, sent.result(30).uuid}
        assert [one.uuid in both for one in client.search(label="run:killed")] == [True, True]
        server.kill()
    with DispatcherClient(server.url, retries=Retry(1, backoff_factor=0.01)) as client, pytest.raises(NotReachable):
        client.job(job.uuid).status()
