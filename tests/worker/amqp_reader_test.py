"""A worker reads from RabbitMQ everything that has arrived, frame by frame and in order."""

import socket
import struct
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.transport import TCPTransport

from pacifica.dispatcher.worker.amqp_reader import reader


class AmqpConnection:
    """Both ends of a connection, the payloads of its frames, and how often kombu's own reader was called."""

    def __init__(self) -> None:
        self.broker, own = socket.socketpair()
        self.transport = TCPTransport("broker.example")
        self.transport.sock = own
        self.transport._setup_transport()  # noqa: SLF001 - connecting calls it, which this test does not
        self.payloads: list[bytes] = []
        self.calls_of_usual_reader = 0
        self.on_frame: Callable[[bytes], object] = lambda _: None
        self._connection = SimpleNamespace(transport=self.transport, on_inbound_frame=self._receive)
        self._read = reader(self._count)

    def read(self) -> None:
        """Do what the event loop does for a readable socket."""
        self._read(self._connection, None)

    def _receive(self, frame: tuple[int, int, bytes]) -> None:
        self.payloads.append(frame[2])
        self.on_frame(frame[2])

    def _count(self, _connection: Any, _loop: Any) -> None:
        self.calls_of_usual_reader += 1


@pytest.fixture
def connection() -> Iterator[AmqpConnection]:
    connection = AmqpConnection()
    with connection.broker, connection.transport.sock:
        yield connection


def frame(payload: bytes) -> bytes:
    """A frame of AMQP 0-9-1."""
    return struct.pack(">BHI", 1, 1, len(payload)) + payload + b"\xce"


def test_all_arrived_frames_are_read_at_once_and_in_order(connection: AmqpConnection) -> None:
    connection.broker.sendall(frame(b"one") + frame(b"") + frame(b"three"))
    connection.read()
    assert (connection.payloads, connection.calls_of_usual_reader) == ([b"one", b"", b"three"], 0)


@pytest.mark.parametrize("cut", [3, 7, 9, 10])
def test_incomplete_frame_is_read_when_it_is_complete(connection: AmqpConnection, cut: int) -> None:
    connection.broker.sendall(frame(b"one") + frame(b"two")[:cut])
    connection.read()
    assert connection.payloads == [b"one"]
    connection.broker.sendall(frame(b"two")[cut:])
    connection.read()
    assert connection.payloads == [b"one", b"two"]


def test_frame_larger_than_one_read_is_complete_in_the_end(connection: AmqpConnection) -> None:
    large = bytes(100_000)
    connection.broker.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    connection.broker.sendall(frame(large))
    while not connection.payloads:
        connection.read()
    assert (connection.payloads, connection.calls_of_usual_reader) == ([large], 0)


def test_code_that_waits_for_an_answer_within_a_frame_gets_the_next_one(connection: AmqpConnection) -> None:
    answers = []
    connection.on_frame = lambda payload: payload == b"deliver" and answers.append(connection.transport.read_frame()[2])
    connection.broker.sendall(frame(b"deliver") + frame(b"qos-ok") + frame(b"next"))
    connection.read()
    assert (answers, connection.payloads) == ([b"qos-ok"], [b"deliver", b"next"])


def test_empty_or_closed_socket_is_left_to_the_usual_reader(connection: AmqpConnection) -> None:
    connection.read()
    connection.broker.close()
    connection.read()
    assert (connection.payloads, connection.calls_of_usual_reader) == ([], 2)
