"""Many requests that wait for a job, and many event streams, hold no thread."""

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from ..eventually import eventually
from ..processes import Processes
from .cases import HOST
from .conftest import HttpServer
from .raw_client import connected

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="counts the threads of a process")]

NUMBER = 150
"""Of each kind; the benchmark of docs/decisions/0010 has 2,000."""


def test_polls_and_streams_hold_no_thread(processes: Processes) -> None:
    processes.env["BROKER_URL"] = "database://"
    web = processes.start_web()
    job = requests.post(f"{web.url}/dispatch/add", json={"args": [1, 2], "options": {"countdown": 600}}, timeout=20)
    path = job.headers["Location"].encode()
    waits = b"GET " + path + b"?wait=50 HTTP/1.1\r\n" + HOST + b"\r\n"
    follows = b"GET /events HTTP/1.1\r\nAccept: text/event-stream\r\n" + HOST + b"\r\n"
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(web.url)) for _ in range(2 * NUMBER)]
        for number, client in enumerate(clients):
            client.sendall(follows if number % 2 else waits)

        def wait_now() -> bool:
            text = requests.get(f"{web.url}/metrics", timeout=20).text
            return all(f'waiters{{kind="{kind}"}} {NUMBER}.0' in text for kind in ("wait", "stream"))

        eventually(wait_now, 60)
        assert len(list(Path(f"/proc/{web.popen.pid}/task").iterdir())) < 30
        HttpServer(web).assert_serves_others()
        assert requests.delete(web.url + path.decode(), timeout=20).status_code == 200
        for client in clients:
            client.settimeout(30)
            assert client.recv(15) == b"HTTP/1.1 200 OK"
