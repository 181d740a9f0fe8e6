"""The part of a response that a client does not accept is buffered within limits, and arrives whole and in order."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from pacifica.dispatcher.web.server import outgoing
from pacifica.dispatcher.web.server.outgoing import Budget, NoRoom, Outgoing

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


def test_response_beyond_the_budget_is_refused_before_it_begins(pair: tuple[socket.socket, socket.socket]) -> None:
    answer, budget = Outgoing(pair[0]), Budget(1_000_001)
    assert budget.take(2)
    with pytest.raises(NoRoom):
        answer.send(PIECES[0], budget, seconds=10)
    pair[1].settimeout(0)
    with pytest.raises(BlockingIOError):
        pair[1].recv(1)
    budget.give_back(1)
    answer.send(PIECES[0], budget, seconds=10)
    assert not budget.take(1_000_000)
    answer.forget(budget)
    assert budget.take(1_000_000)


def test_later_piece_beyond_the_budget_waits_and_times_out(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "SLOWEST", 1e9)
    answer, budget = Outgoing(pair[0]), Budget(1000)
    assert budget.take(1)
    answer.send(b"head", budget, seconds=10)
    with pytest.raises(TimeoutError):
        answer.send(PIECES[0], budget, seconds=0.1)
    assert not answer.rest
    assert budget.take(999)
    assert not budget.take(1)
    with pytest.raises(BlockingIOError):
        pair[0].send(b"x")


def test_small_response_is_sent_without_room(pair: tuple[socket.socket, socket.socket]) -> None:
    answer, budget = Outgoing(pair[0]), Budget(1)
    assert budget.take(1)
    answer.send(b"x" * 1000, budget, seconds=10)
    assert pair[1].recv(2000) == b"x" * 1000


def test_response_of_any_size_fits_into_an_empty_budget(pair: tuple[socket.socket, socket.socket]) -> None:
    answer, budget = Outgoing(pair[0]), Budget(1000)
    answer.send(PIECES[0], budget, seconds=10)
    assert answer.rest
    assert not budget.take(1)


def test_slowest_readers_make_room_after_a_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    monkeypatch.setattr(outgoing, "time", clock)
    budget, held = Budget(10**9), []
    with ExitStack() as stack:
        for amount in (700_000, 300_000, 0, 200_000):
            ours, theirs = map(stack.enter_context, socket.socketpair())
            ours.settimeout(0)
            held.append(answer := Outgoing(ours))
            answer.send(PIECES[0], budget, seconds=10)
            read = 0
            while read < amount:
                read += len(theirs.recv(amount - read))
                answer.send_on()
        assert outgoing.slowest(held, 1) == []
        clock.monotonic = lambda: 100.0 + 2 * outgoing.GRACE
        assert outgoing.slowest(held, 1) == [held[2]]
        assert outgoing.slowest(held, 10**9) == [held[2], held[3], held[1]]
