"""The part of a response that a client does not accept is buffered within limits, and arrives whole and in order."""

import socket
import threading
from collections.abc import Iterator

import pytest

from pacifica.dispatcher.web.server import outgoing
from pacifica.dispatcher.web.server.outgoing import Budget, Outgoing

from .raw_client import until_closed

PIECES = [bytes([number]) * 1_000_000 for number in range(3)]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A server's non-blocking socket and its client's, with a small buffer between them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.settimeout(0)
        yield ours, theirs


def test_first_piece_does_not_wait_for_the_client_and_the_next_does(pair: tuple[socket.socket, socket.socket]) -> None:
    answer, budget = Outgoing(pair[0]), Budget(2_000_000)
    answer.send(PIECES[0], budget, seconds=10)
    assert 0 < len(answer.rest) < len(PIECES[0])
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(until_closed(pair[1])))
    reader.start()
    answer.send(PIECES[1], budget, seconds=10)
    assert not answer.rest
    answer.send(PIECES[2], budget, seconds=10)
    while not answer.send_on():
        pass
    answer.forget(budget)
    pair[0].shutdown(socket.SHUT_WR)
    reader.join(10)
    assert received == [b"".join(PIECES)]
    assert budget.take(2_000_000)


def test_response_beyond_the_budget_waits_and_times_out(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "SLOWEST", 1e9)
    answer, budget = Outgoing(pair[0]), Budget(1000)
    with pytest.raises(TimeoutError):
        answer.send(PIECES[0], budget, seconds=0.1)
    assert not answer.rest
    assert budget.take(1000)
    assert not budget.take(1)
    with pytest.raises(BlockingIOError):
        pair[0].send(b"x")
