"""How a worker takes messages from RabbitMQ: all that has come, with one call of the socket.

pyamqp asks the socket for the head, the body and the end of each of a message's three frames, and changes the
socket's time-out before and after each frame: seventeen system calls for a message, of which one is needed.
"""

import socket
import struct
from collections.abc import Callable
from typing import Any

from amqp.transport import TCPTransport
from celery import bootsteps

AT_ONCE = 16_384
"""Bytes that are taken from the socket at once, at most; what is left there calls the event loop again."""
HEAD = struct.Struct(">BHI")
"""The begin of a frame: its type, channel, and its payload's size; one octet follows the payload."""


class DeliveriesStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Have the worker's event loop read so, where its broker is spoken to in AMQP and not encrypted."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """At each connection anew; pools without an event loop read as ever."""
        connection, transport = consumer.connection.connection, consumer.connection.transport
        if consumer.hub is not None and isinstance(getattr(connection, "transport", None), TCPTransport):
            vars(transport)["on_readable"] = reader(transport.on_readable)
            transport.register_with_event_loop(connection, consumer.hub)


def reader(usual: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """What the event loop calls when there is something to read; ``usual`` is kombu's own, for when there is not.

    Whoever waits for an answer meanwhile (to a new prefetch count, say) finds the rest where pyamqp keeps it.
    """

    def read(connection: Any, loop: Any) -> None:
        transport = connection.transport
        try:
            came = transport.sock.recv(AT_ONCE, socket.MSG_DONTWAIT)
        except (AttributeError, OSError):
            came = b""
        if not came:  # The connection has ended, or nothing has come: that is told as ever.
            usual(connection, loop)
            return
        transport._read_buffer += came
        while _holds_frame(transport._read_buffer):
            connection.on_inbound_frame(transport.read_frame())

    return read


def _holds_frame(buffer: bytes) -> bool:
    return len(buffer) >= HEAD.size and len(buffer) > HEAD.size + HEAD.unpack_from(buffer)[2]
