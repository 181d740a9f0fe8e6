"""Clients that send slowly, or nothing, occupy no thread, and are disconnected in time."""

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from ..eventually import eventually
from .cases import HOST, get, post
from .conftest import SECONDS, THREADS, HttpServer
from .raw_client import answers, connected, until_closed

pytestmark = pytest.mark.slow

HEAD = b"GET /health/live HTTP/1.1\r\n" + HOST + b"X-Slow: " + b"x" * 10_000
BODY = post(b"Content-Length: 8192", body=b'{"args": ["' + b"x" * 8000)
"""The body may take another half second."""


@pytest.fixture
def clients(server: HttpServer) -> Iterator[list[socket.socket]]:
    """Twice as many connections as the server has threads."""
    with ExitStack() as stack:
        yield [stack.enter_context(connected(server.url)) for _ in range(2 * THREADS)]


def all_are_answered(clients: list[socket.socket]) -> bool:
    """Whether the server has answered or closed each connection."""
    readable, _, _ = select.select(clients, [], [], 0)
    return len(readable) == len(clients)


@pytest.mark.parametrize(("begin", "slow"), [(0, HEAD), (BODY.index(b"{"), BODY)], ids=["head", "body"])
def test_clients_that_send_single_bytes_block_no_other(
    server: HttpServer, clients: list[socket.socket], begin: int, slow: bytes
) -> None:
    for sock in clients:
        sock.sendall(slow[:begin])
    rest = iter(slow[begin:])
    rounds = 0

    def send_a_byte_and_ask() -> bool:
        nonlocal rounds
        if all_are_answered(clients):
            return True
        byte = bytes([next(rest)])
        for sock in select.select([], clients, [], 0)[1]:
            if not select.select([sock], [], [], 0)[0]:
                sock.sendall(byte)
        server.assert_serves_others()
        rounds += 1
        return False

    eventually(send_a_byte_and_ask, 15 * SECONDS, "the slow clients were not disconnected")
    assert rounds > 2
    for sock in clients:
        assert [answer.status for answer in answers(until_closed(sock))] == [408]


def test_silent_connections_block_no_other(server: HttpServer, clients: list[socket.socket]) -> None:
    server.assert_serves_others()
    assert not all_are_answered(clients)
    server.assert_serves_others()
    eventually(lambda: all_are_answered(clients), 15 * SECONDS)
    assert [until_closed(sock) for sock in clients] == [b""] * len(clients)


def test_silent_kept_connection_is_closed_without_a_response(server: HttpServer) -> None:
    with connected(server.url) as sock:
        sock.sendall(get())
        assert [answer.status for answer in answers(until_closed(sock))] == [200]


def test_clients_that_do_not_read_their_refusal_block_no_other(
    server: HttpServer, clients: list[socket.socket]
) -> None:
    for sock in clients:
        sock.sendall(get(b"X : 1"))
    eventually(lambda: all_are_answered(clients))
    server.assert_serves_others()
    for sock in clients:
        assert [answer.status for answer in answers(until_closed(sock))] == [400]


LARGE = 6_000_000
"""The size of a response that exceeds the socket buffers of a client that does not read."""


@pytest.fixture(scope="module")
def large(server: HttpServer) -> str:
    """The path of such a response."""
    answer = requests.post(f"{server.url}/dispatch/lab.greet", json={"args": ["x" * LARGE]}, timeout=30)
    return str(answer.headers["Location"])


def test_clients_may_read_their_response_late_and_block_no_other(
    server: HttpServer, clients: list[socket.socket], large: str
) -> None:
    for sock in clients:
        sock.sendall(get(target=large.encode()) + get())
    eventually(lambda: all_are_answered(clients))  # Each response has begun.
    server.assert_serves_others()
    for sock in clients[:2]:
        first, second = answers(until_closed(sock))
        assert (first.status, second.status) == (200, 200)
        assert len(first.body) > LARGE
    server.assert_serves_others()


@pytest.mark.parametrize("end", ["wait", "close"])
def test_empty_line_after_a_body_is_no_request(server: HttpServer, end: str) -> None:
    """Some old clients send one (RFC 9112, section 2.2); the connection ends like one that is idle."""
    with connected(server.url) as sock:
        sock.sendall(post(b"Content-Length: 2", body=b"{}") + b"\r\n")
        if end == "close":
            sock.shutdown(socket.SHUT_WR)
        (answer,) = answers(until_closed(sock))
    assert answer.status == 422
