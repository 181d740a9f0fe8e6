"""The limits of the server, which a real service reaches only with many clients."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from pacifica.dispatcher.web.server import bounds, connection, server
from pacifica.dispatcher.web.server.bounds import Limits
from pacifica.dispatcher.web.server.server import ServerOptions

from ..eventually import eventually
from .cases import HOST, get, post
from .raw_client import answers, connected, talk, until_closed
from .serving import Start, sends, serving

LAST = b"Connection: close"
SIZE = 6_000_000
"""The size of a response that exceeds the buffers of a client that does not read."""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def statuses(sock: socket.socket) -> list[int]:
    return [answer.status for answer in answers(until_closed(sock))]


def silent(stack: ExitStack, url: str, request: bytes) -> socket.socket:
    """A client that sends a request and reads nothing."""
    sock = stack.enter_context(connected(url))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(request)
    return sock


def test_connections_beyond_the_limit_get_503_and_further_ones_are_closed(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SPARE", 2)
    url = stack.enter_context(serving(sends(b"ok"), ServerOptions(limits=Limits(connections=2))))
    within = [stack.enter_context(connected(url)) for _ in range(2)]
    beyond = [stack.enter_context(connected(url)) for _ in range(2)]
    assert until_closed(stack.enter_context(connected(url))) == b""
    assert [statuses(sock) for sock in beyond] == [[503], [503]]
    for sock in within:
        sock.sendall(get(LAST))
        assert statuses(sock) == [200]
    eventually(lambda: _is_served(url))


def _is_served(url: str) -> bool:
    with suppress(ConnectionResetError):
        return [answer.status for answer in talk(url, get(LAST))] == [200]
    return False


def test_large_bodies_share_a_budget_and_small_bodies_are_exempt(stack: ExitStack) -> None:
    url = stack.enter_context(serving(sends(b"ok"), ServerOptions(limits=Limits(taken=200_000))))
    large = post(b"Content-Length: 250000", body=b"x" * 249_000)
    first, second = (stack.enter_context(connected(url)) for _ in range(2))
    first.sendall(large)
    second.sendall(large)
    reader = {first: b"", second: b""}
    for sock in reader:
        sock.settimeout(1)
    refused = eventually(lambda: next((sock for sock in reader if _has_answer(sock)), None))
    assert statuses(refused) == [503]
    assert [answer.status for answer in talk(url, post(b"Content-Length: 3", LAST, body=b"123"))] == [200]


def _has_answer(sock: socket.socket) -> bool:
    sock.settimeout(0)
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        sock.settimeout(10)


def test_budget_is_released_after_the_response(stack: ExitStack) -> None:
    url = stack.enter_context(serving(sends(b"ok"), ServerOptions(limits=Limits(taken=200_000))))
    body = post(b"Content-Length: 200000", body=b"x" * 200_000)
    assert [answer.status for answer in talk(url, body, body, body, get(LAST))] == [200] * 4


def test_body_beyond_the_limit_is_not_read_and_ends_the_connection(stack: ExitStack) -> None:
    seen: list[bytes] = []

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        seen.append(environ["wsgi.input"].read())
        return sends(b"ok")(environ, start)

    url = stack.enter_context(serving(application, ServerOptions(limits=Limits(body=100))))
    found = talk(url, post(b"Content-Length: 101", body=b"x" * 101) + get())
    assert [(answer.status, answer.headers["connection"]) for answer in found] == [(200, "close")]
    assert seen == [b""]


def test_unread_responses_share_a_budget_and_the_slowest_readers_make_room(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "GRACE", 0.1)
    url = stack.enter_context(serving(sends(b"x" * SIZE), ServerOptions(limits=Limits(taken=SIZE))))
    first = silent(stack, url, get())
    assert first.recv(12) == b"HTTP/1.1 200"
    eventually(lambda: 503 in [answer.status for answer in talk(url, get(LAST))])
    eventually(lambda: [answer.status for answer in talk(url, get(LAST))] == [200])


@pytest.mark.parametrize("inline", [True, False])
def test_parts_of_a_response_arrive_whole_and_in_order(stack: ExitStack, inline: bool) -> None:
    parts = [bytes([number]) * 1_000_000 for number in range(10)]
    url = stack.enter_context(serving(sends(*parts), ServerOptions(inline=inline)))
    found = talk(url, get() + get(LAST))
    assert [answer.body for answer in found] == [b"".join(parts)] * 2


def test_stream_that_is_not_read_stops_producing_and_holds_no_thread(stack: ExitStack) -> None:
    produced: list[int] = []

    def application(environ: dict[str, Any], start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        if environ["PATH_INFO"] != "/stream":
            yield b"ok"
            return
        for number in range(1000):
            produced.append(number)
            yield b"x" * 100_000

    url = stack.enter_context(serving(application, ServerOptions(threads=1)))
    for _ in range(5):
        silent(stack, url, get(target=b"/stream"))
    eventually(lambda: len(set(produced)) > 2)
    assert [answer.status for answer in talk(url, get(LAST))] == [200]
    assert max(produced) < 999


def test_client_that_never_reads_its_refusal_is_disconnected(stack: ExitStack) -> None:
    url = stack.enter_context(serving(sends(b"ok"), ServerOptions()))
    sock = stack.enter_context(connected(url))
    began = time.monotonic()
    sock.sendall(get(b"X : 1"))
    assert statuses(sock) == [400]
    eventually(lambda: _is_reset(sock))
    assert time.monotonic() - began > bounds.LINGER / 2


def _is_reset(sock: socket.socket) -> bool:
    try:
        sock.sendall(b"x")
    except OSError:
        return True
    return False


def test_stopping_server_finishes_requests_and_closes_idle_connections(stack: ExitStack) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        begun.set()
        assert go_on.wait(20)
        return sends(b"ok")(environ, start)

    with ExitStack() as server_stack:
        url = server_stack.enter_context(serving(application, ServerOptions(inline=False)))
        idle, asking = (stack.enter_context(connected(url)) for _ in range(2))
        asking.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert begun.wait(20)
        threading.Thread(target=server_stack.close).start()
        assert until_closed(idle) == b""
        go_on.set()
        found = answers(until_closed(asking))
    assert [(answer.status, answer.headers["connection"]) for answer in found] == [(200, "close")]
