"""The limits of the intake, which a real server reaches only with many clients."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from selectors import DefaultSelector

import pytest

from pacifica.dispatcher.web.server import outgoing
from pacifica.dispatcher.web.server.bounds import LINGER, SPARE, Limits
from pacifica.dispatcher.web.server.head import Head
from pacifica.dispatcher.web.server.intake import CHUNK, Incoming, Intake

from ..eventually import eventually
from .cases import get, post
from .raw_client import TIMEOUT, answers, until_closed


class Loop:
    """An intake with clients, and a server that keeps the requests it receives."""

    def __init__(self, limits: Limits, stack: ExitStack) -> None:
        self._stack = stack
        self._selector = stack.enter_context(DefaultSelector())
        self.ready: list[tuple[Incoming, bytes]] = []
        self.gone: list[Incoming] = []
        self.intake = Intake(self._selector, limits, self._take, self.gone.append)
        stack.callback(self._give_back)

    def _take(self, incoming: Incoming, head: Head, body: bytes) -> None:
        self.ready.append((incoming, head.text + body))

    def _give_back(self) -> None:
        self.intake.close()
        for incoming, _ in self.ready:
            self.intake.end(incoming)

    def client(self) -> socket.socket:
        """The client's socket of a new connection."""
        near, far = socket.socketpair()
        far.settimeout(TIMEOUT)
        self._stack.enter_context(far)
        self.intake.admit(Incoming(near, None))
        return far

    def turn(self) -> None:
        while events := self._selector.select(0):
            for key, _ in events:
                key.data(key.fileobj)
        self.intake.look()

    def send(self, client: socket.socket, data: bytes) -> None:
        """Send the data while the intake reads it."""
        for at in range(0, len(data), 10_000):
            client.sendall(data[at : at + 10_000])
            self.turn()

    def statuses(self, client: socket.socket) -> list[int]:
        """The statuses that a client receives until its connection is closed."""
        client.setblocking(False)
        received = bytearray()

        def closed() -> bool:
            self.turn()
            try:
                while chunk := client.recv(CHUNK):
                    received.extend(chunk)
            except BlockingIOError:
                return False
            return True

        eventually(closed)
        return [answer.status for answer in answers(bytes(received))]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def test_connections_beyond_the_limit_get_503_and_further_ones_are_closed(stack: ExitStack) -> None:
    loop = Loop(Limits(connections=2), stack)
    within = [loop.client() for _ in range(2)]
    beyond = [loop.client() for _ in range(SPARE)]
    assert loop.statuses(loop.client()) == []
    assert [loop.statuses(client) for client in beyond] == [[503]] * SPARE
    for client in within:
        client.sendall(get())
    loop.turn()
    assert [request for _, request in loop.ready] == [get()] * 2
    beyond[0].close()
    for incoming, _ in loop.ready:
        loop.intake.end(incoming)
    eventually(lambda: loop.turn() or len(loop.gone) == SPARE + 3)  # type: ignore[func-returns-value]
    again = loop.client()
    again.sendall(get())
    loop.turn()
    assert len(loop.ready) == 3


def test_large_bodies_share_a_budget_and_small_bodies_are_exempt(stack: ExitStack) -> None:
    loop = Loop(Limits(taken=200_000), stack)
    large = post(b"Content-Length: 250000", body=b"x" * 249_000)
    first, second, small = loop.client(), loop.client(), loop.client()
    loop.send(first, large)
    loop.send(second, large)
    second.shutdown(socket.SHUT_WR)
    assert loop.statuses(second) == [503]
    small.sendall(post(b"Content-Length: 3", body=b"123"))
    loop.turn()
    assert [request[-3:] for _, request in loop.ready] == [b"123"]
    first.close()
    loop.turn()
    assert len(loop.gone) == 2


def respond(loop: Loop, incoming: Incoming, size: int) -> bool:
    """Answer as a server does; return whether the response was accepted."""
    try:
        loop.intake.send(incoming, b"x" * size)
    except OSError:
        loop.intake.end(incoming)
        return False
    loop.intake.resume(incoming)
    return True


def test_unread_responses_share_a_budget_and_the_slowest_readers_make_room(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "GRACE", 0.1)
    loop = Loop(Limits(taken=3_000_000), stack)
    silent = [loop.client() for _ in range(5)]
    for client in silent:
        client.sendall(get())
    loop.turn()
    accepted = [respond(loop, incoming, 1_000_000) for incoming, _ in loop.ready]
    assert accepted == [True, True, True, False, False]
    assert loop.statuses(silent[3]) == [503]

    def is_answered() -> bool:
        client = loop.client()
        client.sendall(get())
        loop.turn()
        return respond(loop, loop.ready[-1][0], 1_000_000)

    eventually(is_answered)
    assert loop.gone[1] in [incoming for incoming, _ in loop.ready[:3]]


def test_budget_is_released_after_the_response(stack: ExitStack) -> None:
    loop = Loop(Limits(taken=200_000), stack)
    client = loop.client()
    body = b"x" * 200_000
    for number in range(1, 4):
        asked = post(b"Content-Length: %d" % len(body), body=body)
        loop.send(client, asked)
        assert len(loop.ready) == number
        assert loop.ready[-1][1] == asked
        loop.intake.resume(loop.ready[-1][0])


def test_body_beyond_the_limit_is_not_read_and_ends_the_connection(stack: ExitStack) -> None:
    loop = Loop(Limits(body=100), stack)
    client = loop.client()
    head = post(b"Content-Length: 101")
    client.sendall(head + b"x" * 101 + get())
    loop.turn()
    incoming, request = loop.ready[0]
    assert (request, incoming.unread) == (head, True)
    loop.intake.resume(incoming)
    assert until_closed(client) == b""
    assert len(loop.ready) == 1


def test_client_that_never_reads_is_disconnected(stack: ExitStack) -> None:
    loop = Loop(Limits(), stack)
    client = loop.client()
    client.sendall(get(b"X : 1"))
    loop.turn()
    began = time.monotonic()
    eventually(lambda: loop.turn() or loop.gone)  # type: ignore[func-returns-value]
    assert time.monotonic() - began > LINGER / 2
    assert [answer.status for answer in answers(until_closed(client))] == [400]


def test_stopping_server_closes_connections_without_a_request(stack: ExitStack) -> None:
    loop = Loop(Limits(), stack)
    silent, talking, asking = loop.client(), loop.client(), loop.client()
    talking.sendall(get()[:-2])
    asking.sendall(get())
    loop.turn()
    loop.intake.last_call(0)
    assert loop.statuses(silent) == []
    loop.intake.resume(loop.ready[0][0])
    assert loop.statuses(asking) == []
    talking.sendall(b"\r\n")
    loop.turn()
    assert [request for _, request in loop.ready] == [get()] * 2
    loop.intake.close()
    loop.intake.resume(loop.ready[1][0])
    assert until_closed(talking) == b""
    assert len(loop.gone) == 3
