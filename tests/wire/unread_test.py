"""Responses that clients do not read take little memory, and do not keep others from theirs."""

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import requests

from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from ..eventually import eventually
from ..processes import Processes
from ..store.conftest import a_job
from .cases import get
from .conftest import HttpServer

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process")]

SIZE, CLIENTS = 5_000_000, 30
SPARE = 150_000_000
"""The memory beside the budget of 8 MB, in bytes: a response is made in several steps, and the allocator keeps some."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    """An embedded server that buffers at most 8 MB for all clients, and makes at most three responses at a time."""
    with Processes(tmp_path, {"BROKER_URL": "database://"}) as processes:
        processes.write_config("[dispatcher]\nbody_limit = 2000000\n")
        conf = processes.write_config("[global]\nserver.thread_pool = 2\n", "server.conf")
        yield HttpServer(processes.start_web("--cp-config", str(conf)))


def memory(server: HttpServer) -> int:
    """The resident memory of the server, in bytes."""
    pages = Path(f"/proc/{server.web.popen.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096


def silent_client(server: HttpServer, path: str) -> socket.socket:
    """A client that requests the path and reads nothing; its system buffers little."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, _, port = server.url.removeprefix("http://").partition(":")
    sock.connect((host, int(port)))
    sock.sendall(get(target=path.encode()))
    return sock


def test_large_responses_that_clients_do_not_read_take_little_memory(server: HttpServer, tmp_path: Path) -> None:
    job = a_job(args=["x" * SIZE])
    with closing(Database(f"sqliteext:///{tmp_path}/db.sqlite3")) as database:
        JobStore(database).add([job])
    path = f"/status/{job.uuid}"
    assert len(requests.get(server.url + path, timeout=10).content) > SIZE
    before = memory(server)
    with ExitStack() as stack:
        clients = [stack.enter_context(silent_client(server, path)) for _ in range(CLIENTS)]
        for client in clients:
            client.settimeout(20)
        statuses = [client.recv(12)[-3:] for client in clients]
        assert set(statuses) == {b"200", b"503"}
        refused = f"GET {path} 503 "
        eventually(lambda: server.web.output().count(refused) == statuses.count(b"503"))
        assert memory(server) - before < SPARE
        eventually(lambda: requests.get(server.url + path, timeout=10).status_code == 200)
        server.assert_serves_others("/health/live")
