"""Clients that send slowly, or not at all, hold no thread, and are ended in time."""

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from ..eventually import eventually
from .cases import HOST, get, post
from .conftest import SECONDS, THREADS, Target
from .wire import answers, connected, until_closed

HEAD = b"GET /health/live HTTP/1.1\r\n" + HOST + b"X-Slow: " + b"x" * 10_000
BODY = post(b"Content-Length: 8192", body=b'{"args": ["' + b"x" * 8000)
"""Its body may take another half a second."""


@pytest.fixture
def crowd(target: Target) -> Iterator[list[socket.socket]]:
    """Twice as many connections as the server has threads."""
    with ExitStack() as stack:
        yield [stack.enter_context(connected(target.url)) for _ in range(2 * THREADS)]


def are_ended(crowd: list[socket.socket]) -> bool:
    """Whether the server has said or done something to each of them."""
    readable, _, _ = select.select(crowd, [], [], 0)
    return len(readable) == len(crowd)


@pytest.mark.parametrize(("begin", "slow"), [(0, HEAD), (BODY.index(b"{"), BODY)], ids=["head", "body"])
def test_a_byte_now_and_then_holds_up_nobody(
    target: Target, crowd: list[socket.socket], begin: int, slow: bytes
) -> None:
    for sock in crowd:
        sock.sendall(slow[:begin])
    rest = iter(slow[begin:])
    rounds = 0

    def send_a_byte_and_ask() -> bool:
        nonlocal rounds
        if are_ended(crowd):
            return True
        byte = bytes([next(rest)])
        for sock in select.select([], crowd, [], 0)[1]:
            if not select.select([sock], [], [], 0)[0]:
                sock.sendall(byte)
        target.serves_others()
        rounds += 1
        return False

    eventually(send_a_byte_and_ask, 15 * SECONDS, "the slow clients were not ended")
    assert rounds > 2
    for sock in crowd:
        assert [answer.status for answer in answers(until_closed(sock))] == [408]


def test_connections_that_send_nothing_hold_up_nobody(target: Target, crowd: list[socket.socket]) -> None:
    target.serves_others()
    assert not are_ended(crowd)
    target.serves_others()
    eventually(lambda: are_ended(crowd), 15 * SECONDS)
    assert [until_closed(sock) for sock in crowd] == [b""] * len(crowd)


def test_a_kept_connection_that_is_silent_is_closed_without_a_word(target: Target) -> None:
    with connected(target.url) as sock:
        sock.sendall(get())
        assert [answer.status for answer in answers(until_closed(sock))] == [200]


def test_clients_that_do_not_read_their_refusal_hold_up_nobody(target: Target, crowd: list[socket.socket]) -> None:
    for sock in crowd:
        sock.sendall(get(b"X : 1"))
    eventually(lambda: are_ended(crowd))
    target.serves_others()
    for sock in crowd:
        assert [answer.status for answer in answers(until_closed(sock))] == [400]


LARGE = 6_000_000
"""Bytes of an answer: more than the system takes from a server for a client that does not read."""


@pytest.fixture(scope="module")
def large(target: Target) -> str:
    """The path of an answer of so many bytes."""
    answer = requests.post(f"{target.url}/dispatch/lab.greet", json={"args": ["x" * LARGE]}, timeout=30)
    return str(answer.headers["Location"])


def test_clients_that_do_not_read_their_answer_hold_up_nobody_and_may_read_it_late(
    target: Target, crowd: list[socket.socket], large: str
) -> None:
    for sock in crowd:
        sock.sendall(get(target=large.encode()) + get())
    eventually(lambda: are_ended(crowd))  # Each answer has begun.
    target.serves_others()
    for sock in crowd[:2]:
        first, second = answers(until_closed(sock))
        assert (first.status, second.status) == (200, 200)
        assert len(first.body) > LARGE
    target.serves_others()
