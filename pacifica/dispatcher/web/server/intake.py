"""Receives whole requests, and sends the rest of responses, in a server's event loop: no thread waits for a client.

Sockets do not block. Each request is passed on whole, valid by the grammar of ``head``, without any byte after its
end. Refused requests are answered here.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector
from typing import Any

from ...logs import log_context
from ...logs.formatters import FIELDS
from .answer import CONTINUE, closing
from .bounds import CLOGGED, CROWDED, CUT_OFF, FULL, LATE, LINGER, PAUSE, SPARE, Limits
from .head import Head, Refusal, read_head
from .outgoing import SLOWEST, Budget, NoRoom, Outgoing, slowest

logger = logging.getLogger(__name__)

CHUNK = 65_536
"""Bytes per read; up to so many buffered bytes of a connection do not count against the budget."""
GONE = "pacifica.dispatcher.gone"
"""The key of a request's WSGI environment under which the application finds ``Incoming.has_gone``."""


class Incoming:
    """One client's connection; ``owner`` is the server's object for it, ``unread`` marks a body that was not read."""

    __slots__ = (
        "answer", "buffer", "counted", "deadline", "ending", "head", "needed", "owner", "sock", "unread", "watched",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, owner: Any) -> None:
        self.sock = sock
        self.owner = owner
        self.answer = Outgoing(sock)
        self.buffer = bytearray()
        self.head: Head | None = None
        self.needed = 0
        self.deadline = inf
        self.counted = 0
        self.unread = self.ending = self.watched = False

    def has_gone(self) -> bool:
        """Whether the client has closed its end; for threads whose response takes long."""
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True


class Intake:
    """The connections of one server.

    ``ready`` receives a connection with the head and body of its request, ``gone`` a closed connection, and ``refused``
    the status of each request that is answered here. The receiver of a connection responds with ``send``, and gives the
    connection back with ``resume``, ``end`` or ``refuse``, from any thread. All other methods belong to the loop's
    thread; its selector calls the ``data`` of each key with the socket.
    """

    def __init__(
        self,
        selector: BaseSelector,
        limits: Limits,
        ready: Callable[[Incoming, Head, bytes], None],
        gone: Callable[[Incoming], None] = lambda _: None,
        refused: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._selector = selector
        self._limits = limits
        self._ready = ready
        self._gone = gone
        self._refused = refused
        self._lock = threading.Lock()
        self._open: set[Incoming] = set()
        self._budget = Budget(limits.taken)
        self._next_look = 0.0
        self._last_call = inf
        self._closed = False

    def admit(self, incoming: Incoming) -> None:
        """Add a new connection; beyond the limit it is answered with 503."""
        with self._lock:
            self._open.add(incoming)
            number = len(self._open)
        if number > self._limits.connections + SPARE:
            self._drop(incoming)
            return
        incoming.sock.settimeout(0)
        if number > self._limits.connections:
            self.refuse(incoming, CROWDED)
        else:
            incoming.deadline = time.monotonic() + self._limits.seconds
            self._await_request(incoming)

    def send(self, incoming: Incoming, piece: bytes) -> None:
        """Send a piece of the response, or buffer what the client does not accept yet; raises ``OSError``.

        A response without room is answered with 503, and the slowest readers of others are disconnected.
        """
        try:
            incoming.answer.send(piece, self._budget, self._limits.seconds)
        except NoRoom:
            self._make_room(len(piece))
            self._send_refusal(incoming, CLOGGED)
            raise

    def resume(self, incoming: Incoming) -> None:
        """Wait for the next request of a connection after a response."""
        if incoming.unread or self._closed:
            self.end(incoming)
            return
        if incoming.answer.rest:
            self._send_on(incoming, self.resume)
            return
        self._uncount(incoming)
        incoming.answer.begun = False
        incoming.head = None
        incoming.sock.settimeout(0)
        incoming.deadline = time.monotonic() + self._limits.seconds
        # Read last: a stopping loop has either set it already, or will see this deadline.
        incoming.deadline = min(incoming.deadline, self._last_call)
        if not (incoming.buffer and self._examine(incoming)):
            self._await_request(incoming)

    def end(self, incoming: Incoming) -> None:
        """Close a connection after its last response, once the client has had time to read it."""
        if self._closed:
            incoming.answer.send_last(LINGER)
            self._drop(incoming)
        elif incoming.answer.rest:
            self._send_on(incoming, self.end)
        else:
            self._linger(incoming)

    def refuse(self, incoming: Incoming, refusal: Refusal) -> None:
        """Answer in place of the server, and close the connection, without waiting for the client."""
        if self._send_refusal(incoming, refusal):
            self._linger(incoming)
        else:
            self._drop(incoming)

    def _send_refusal(self, incoming: Incoming, refusal: Refusal) -> bool:
        """Send the refusal, as far as the client accepts it at once; return whether it has accepted all of it."""
        request = log_context.request_id(log_context.current().get("request"))
        fields = {"request": request, "status": int(refusal.status)}
        logger.info("A request was refused: %d %s", refusal.status, refusal.sentence, extra={FIELDS: fields})
        log_context.note(status=int(refusal.status))
        self._refused(refusal.status)
        answer = closing(refusal.status, refusal.sentence, request)
        try:
            incoming.sock.settimeout(0)
            return incoming.sock.send(answer) == len(answer)
        except OSError:
            return False

    def _make_room(self, length: int) -> None:
        """Have the loop disconnect the slowest readers, so that a later response of this length finds room."""
        with self._lock:
            waiting = {one.answer: one for one in self._open if one.answer.rest and one.deadline < inf}
        for answer in slowest(waiting, length):
            waiting[answer].deadline = -inf
        self._next_look = 0.0

    def look(self) -> None:
        """Close overdue connections; called in each round of the loop."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + PAUSE
        with self._lock:  # A slow reader to be disconnected may have accepted the rest meanwhile.
            late = [one for one in self._open if one.deadline < now and (one.deadline > -inf or one.answer.rest)]
        for incoming in late:
            if incoming.buffer and not (incoming.ending or incoming.answer.rest):
                self.refuse(incoming, LATE)
            else:
                self._drop(incoming)

    def last_call(self, deadline: float) -> None:
        """Close connections that have begun no request by this time of the monotonic clock; for a stopping server."""
        self._last_call = deadline
        with self._lock:
            for incoming in self._open:
                if incoming.deadline < inf and not (incoming.buffer or incoming.answer.rest):
                    incoming.deadline = min(incoming.deadline, deadline)

    def close(self) -> None:
        """Close all connections; those that a thread is answering are closed when they are given back."""
        with self._lock:
            self._closed = True
            idle = [incoming for incoming in self._open if incoming.deadline < inf]
        end = time.monotonic() + LINGER
        for incoming in idle:
            incoming.answer.send_last(end - time.monotonic())
            self._drop(incoming)

    def _readable(self, incoming: Incoming) -> None:
        try:
            chunk = incoming.sock.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            chunk, incoming.ending = b"", True
        if not chunk:
            self._ended(incoming)
        elif not incoming.ending:
            self._take(incoming, chunk)

    def _take(self, incoming: Incoming, chunk: bytes) -> None:
        if not incoming.buffer:
            incoming.deadline = time.monotonic() + self._limits.seconds
        incoming.buffer += chunk
        if not self._count(incoming):
            self._make_room(len(incoming.buffer))
            self.refuse(incoming, FULL)
        elif incoming.head or b"\n" in chunk or b"\0" in chunk or len(incoming.buffer) >= self._limits.head:
            self._examine(incoming)

    def _ended(self, incoming: Incoming) -> None:
        """Handle a client that has closed its sending side, but may still read."""
        if incoming.buffer and not incoming.ending:
            self.refuse(incoming, CUT_OFF)
        else:
            self._drop(incoming)

    def _examine(self, incoming: Incoming) -> bool:
        """Pass on the request if it is complete; return whether the connection no longer waits for one."""
        if incoming.head is None:
            verdict = read_head(incoming.buffer, self._limits.head)
            if verdict is None:
                return False
            if isinstance(verdict, Refusal):
                self.refuse(incoming, verdict)
                return True
            self._begin_body(incoming, verdict)
        if len(incoming.buffer) < incoming.needed:
            return False
        self._hand_on(incoming)
        return True

    def _begin_body(self, incoming: Incoming, head: Head) -> None:
        incoming.head = head
        incoming.unread = head.body > self._limits.body
        incoming.needed = head.length if incoming.unread else head.length + head.body
        if len(incoming.buffer) < incoming.needed:
            incoming.deadline = time.monotonic() + self._limits.seconds + head.body / SLOWEST
            if head.expects:
                with suppress(OSError):  # A client that does not receive it may send the body anyway.
                    incoming.sock.send(CONTINUE)

    def _hand_on(self, incoming: Incoming) -> None:
        head, buffer = incoming.head, incoming.buffer
        if head is None:
            raise AssertionError("a request without a head is not complete")
        body = bytes(buffer[head.length : incoming.needed]) if incoming.needed > head.length else b""
        incoming.buffer = buffer[incoming.needed :]
        self._unwatch(incoming)
        incoming.deadline = inf
        self._ready(incoming, head, body)

    def _send_on(self, incoming: Incoming, then: Callable[[Incoming], None]) -> None:
        """Send the rest of the response as the client accepts it, then call ``then``."""
        incoming.deadline = time.monotonic() + incoming.answer.patience(self._limits.seconds)
        self._watch(incoming, EVENT_WRITE, lambda _: self._writable(incoming, then))

    def _writable(self, incoming: Incoming, then: Callable[[Incoming], None]) -> None:
        try:
            sent = incoming.answer.send_on()
        except OSError:
            self._drop(incoming)
            return
        if sent:
            self._unwatch(incoming)
            incoming.answer.forget(self._budget)
            then(incoming)

    def _linger(self, incoming: Incoming) -> None:
        """Shut down sending but keep reading: closing at once could reset the connection and lose the response."""
        self._uncount(incoming)
        incoming.ending = True
        incoming.buffer = bytearray()
        try:
            incoming.sock.settimeout(0)
            incoming.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(incoming)
            return
        incoming.deadline = time.monotonic() + LINGER
        self._await_request(incoming)

    def _drop(self, incoming: Incoming) -> None:
        with self._lock:
            if incoming not in self._open:
                return
            self._open.discard(incoming)
        self._uncount(incoming)
        incoming.answer.forget(self._budget)
        self._unwatch(incoming)
        with suppress(OSError):
            incoming.sock.shutdown(socket.SHUT_RDWR)
        incoming.sock.close()
        self._gone(incoming)

    def _await_request(self, incoming: Incoming) -> None:
        self._watch(incoming, EVENT_READ, lambda _: self._readable(incoming))

    def _watch(self, incoming: Incoming, event: int, call: Callable[[Any], None]) -> None:
        if incoming.watched:
            return
        with self._lock:
            incoming.watched = not self._closed
            if incoming.watched:
                self._selector.register(incoming.sock, event, call)
                return
        self._drop(incoming)

    def _unwatch(self, incoming: Incoming) -> None:
        if incoming.watched:
            incoming.watched = False
            self._selector.unregister(incoming.sock)

    def _count(self, incoming: Incoming) -> bool:
        more = len(incoming.buffer) - CHUNK - incoming.counted
        if more > 0:
            if not self._budget.take(more):
                return False
            incoming.counted += more
        return True

    def _uncount(self, incoming: Incoming) -> None:
        if incoming.counted:
            self._budget.give_back(incoming.counted)
            incoming.counted = 0
