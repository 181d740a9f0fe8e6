"""How a worker reads from RabbitMQ, and when its event loop looks after the pipes of its children."""

import socket
import struct
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.transport import TCPTransport
from celery.worker import strategy
from kombu.exceptions import ContentDisallowed
from kombu.message import Message

from pacifica.dispatcher.worker.bootsteps import JSON, USUAL_BODIES, USUAL_BODY, _sparing, quietly
from pacifica.dispatcher.worker.deliveries import reader


class Wire:
    """Both ends of a connection, what its frames said, and how often kombu's own reader was asked."""

    def __init__(self) -> None:
        self.broker, mine = socket.socketpair()
        self.transport = TCPTransport("broker.example")
        self.transport.sock = mine
        self.transport._setup_transport()
        self.said: list[bytes] = []
        self.usual = 0
        self.on_frame: Callable[[bytes], object] = lambda _: None
        self._connection = SimpleNamespace(transport=self.transport, on_inbound_frame=self._hear)
        self._read = reader(self._ask)

    def read(self) -> None:
        """What the event loop calls."""
        self._read(self._connection, None)

    def _hear(self, frame: tuple[int, int, bytes]) -> None:
        self.said.append(frame[2])
        self.on_frame(frame[2])

    def _ask(self, _connection: Any, _loop: Any) -> None:
        self.usual += 1


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    with wire.broker, wire.transport.sock:
        yield wire


def frame(payload: bytes) -> bytes:
    """A frame, as AMQP has it."""
    return struct.pack(">BHI", 1, 1, len(payload)) + payload + b"\xce"


def test_all_that_has_come_is_taken_at_once_and_in_order(wire: Wire) -> None:
    wire.broker.sendall(frame(b"one") + frame(b"") + frame(b"three"))
    wire.read()
    assert (wire.said, wire.usual) == ([b"one", b"", b"three"], 0)


@pytest.mark.parametrize("cut", [3, 7, 9, 10])
def test_a_frame_of_which_a_part_has_come_is_taken_when_it_is_whole(wire: Wire, cut: int) -> None:
    wire.broker.sendall(frame(b"one") + frame(b"two")[:cut])
    wire.read()
    assert wire.said == [b"one"]
    wire.broker.sendall(frame(b"two")[cut:])
    wire.read()
    assert wire.said == [b"one", b"two"]


def test_a_frame_larger_than_what_is_taken_at_once_is_whole_in_the_end(wire: Wire) -> None:
    large = bytes(100_000)
    wire.broker.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    wire.broker.sendall(frame(large))
    while not wire.said:
        wire.read()
    assert (wire.said, wire.usual) == ([large], 0)


def test_who_waits_for_an_answer_within_a_frame_is_given_the_next_one(wire: Wire) -> None:
    answers = []
    wire.on_frame = lambda said: said == b"deliver" and answers.append(wire.transport.read_frame()[2])
    wire.broker.sendall(frame(b"deliver") + frame(b"qos-ok") + frame(b"next"))
    wire.read()
    assert (answers, wire.said) == ([b"qos-ok"], [b"deliver", b"next"])


def test_where_nothing_has_come_or_the_connection_has_ended_it_is_told_as_ever(wire: Wire) -> None:
    wire.read()
    wire.broker.close()
    wire.read()
    assert (wire.said, wire.usual) == ([], 2)


def test_the_pipes_of_the_children_are_looked_after_while_jobs_wait_for_one_and_once_after_it() -> None:
    waiting: list[int] = []
    turns: list[int] = []
    on_tick = _sparing(lambda: turns.append(len(waiting)), waiting)
    for jobs in ([], [], [1, 2], [2], [], [], [3], []):
        waiting[:] = jobs
        on_tick()
    assert turns == [0, 2, 1, 0, 1, 0]


class Body(Message):
    """A message of a job, which counts how often it is decoded."""

    decoded = 0

    def __init__(self, body: str | bytes, kind: str = JSON) -> None:
        headers = {"id": "j", "task": "add", "request_id": "r"}
        super().__init__(body, content_type=kind, content_encoding="utf-8", accept={JSON}, headers=headers)

    def _decode(self) -> Any:
        self.decoded += 1
        return super()._decode()


@pytest.fixture
def take(monkeypatch: pytest.MonkeyPatch) -> Callable[[Body], Any]:
    """What a worker reads of a message's body when it takes it."""
    monkeypatch.setattr(strategy, "default", lambda *_, **__: lambda message, *_: message.payload)
    taken: Callable[[Body], Any] = quietly(None, None, None)
    return taken


@pytest.mark.parametrize("body", USUAL_BODIES)
def test_the_body_of_most_messages_is_known_without_decoding_it(take: Callable[[Body], Any], body: str | bytes) -> None:
    usual, chained = Body(body), Body(USUAL_BODY.replace('"chain": null', '"chain": ["next"]'))
    nothing = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    assert take(usual) == Body(body).decode() == [[], {}, nothing]
    assert take(chained) == [[], {}, {**nothing, "chain": ["next"]}]
    assert (usual.decoded, chained.decoded) == (0, 1)
    assert take(Body(body))[1] is not take(Body(body))[1], "a receiver of a signal may change it"


def test_a_body_of_another_kind_is_refused_whatever_it_says(take: Callable[[Body], Any]) -> None:
    with pytest.raises(ContentDisallowed):
        take(Body(USUAL_BODY, "application/x-python-serialize"))
