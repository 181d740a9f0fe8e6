"""One client's connection: receives whole requests, and keeps the part of a response that it does not read.

Sockets do not block. Refused requests are answered here. All methods but ``send`` and ``has_gone`` belong to the thread
of the server's loop.
"""

import logging
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from math import inf
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any, Protocol

from ...logs import log_context
from ...logs.formatters import FIELDS
from .answer import CONTINUE, closing
from .bounds import CHUNK, CLOGGED, CUT_OFF, FULL, GRACE, LATE, LINGER, SLOWEST, SMALL, Budget, Limits
from .head import Head, Refusal, read_head
from .loop import WAITER, Loop

logger = logging.getLogger(__name__)


class Owner(Protocol):
    """The server, as its connections see it."""

    loop: Loop
    limits: Limits
    budget: Budget
    last_call: float
    """The time at which connections without a request are closed: of a stopping server."""
    refused: Callable[[int], object]
    """Called with the status of a request that was answered without the application."""

    def respond(self, connection: "Connection", head: Head, body: bytes) -> None:
        """Answer a request."""

    def make_room(self, length: int) -> None:
        """Disconnect the slowest readers, so that a later response of this length finds room."""

    def forget(self, connection: "Connection") -> None:
        """Forget a closed connection."""


class NoRoom(OSError):
    """The response would exceed the budget; nothing of it was sent."""


class Connection:
    """A connection; ``deadline`` is when it is closed, and ``unread`` marks a request whose body was not read."""

    __slots__ = (
        "_begun", "_buffer", "_counted", "_drained", "_ending", "_head", "_interest", "_needed", "_owner",
        "_rest_since", "_rest_taken", "_sock", "_then", "answering", "common", "deadline", "rest", "unread",
    )  # fmt: skip

    def __init__(self, owner: Owner, sock: socket.socket) -> None:
        sock.settimeout(0)
        self._owner = owner
        self._sock = sock
        self.common: Mapping[str, Any] = {}
        """The part of the WSGI environment that all its requests share."""
        self.deadline = time.monotonic() + owner.limits.seconds
        self.answering = self.unread = self._ending = self._begun = False
        self.rest = bytearray()
        """The part of the response that the client has not accepted yet."""
        self._rest_since, self._rest_taken = 0.0, 0
        self._drained: Future[None] | None = None
        self._then: Callable[[], None] | None = None
        self._buffer = bytearray()
        self._counted = 0
        self._head: Head | None = None
        self._needed = 0
        self._interest = 0
        self._watch(EVENT_READ)

    @property
    def closed(self) -> bool:
        return self._sock.fileno() < 0

    @property
    def idle(self) -> bool:
        """Whether no request has begun."""
        return not (self._has_begun() or self.answering or self.rest)

    def has_gone(self) -> bool:
        """Whether the client has closed its end; for requests whose response takes long."""
        if self._interest:  # Nothing has arrived.
            return self.closed
        try:
            return not self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def send(self, piece: bytes) -> None:
        """Send a piece of the response, after the client has accepted earlier ones; raises ``OSError``.

        The part that the client does not accept at once is kept. The response is 503 if its first piece has no room.
        """
        if WAITER.on_loop():
            self._send(piece)
        else:
            self._owner.loop.ask(lambda: self._send(piece))

    def _send(self, piece: bytes) -> None:
        if self.rest:
            self._drained = Future()
            WAITER.wait(self._drained)
        if self.closed:
            raise ConnectionResetError
        if not self._begun and len(piece) > SMALL and not self._owner.budget.has_room(len(piece)):
            self._owner.make_room(len(piece))
            self._send_refusal(CLOGGED)
            raise NoRoom
        self._begun = True
        sent = 0
        with suppress(BlockingIOError):
            sent = self._sock.send(piece)
        if sent < len(piece):
            self.rest += memoryview(piece)[sent:]
            self._owner.budget.take(len(self.rest))
            self._rest_since, self._rest_taken = time.monotonic(), len(self.rest)
            self.deadline = self._rest_since + self._owner.limits.seconds + len(self.rest) / SLOWEST
            self._watch(EVENT_WRITE)

    def end(self, *, keep: bool) -> None:
        """End the response: wait for the next request, or close the connection once the client could read all."""
        if self.rest:
            self._then = lambda: self.end(keep=keep)
            return
        self.answering = False
        if keep and not (self.unread or self.closed):
            self._expect_request()
        else:
            self._linger()

    def refuse(self, refusal: Refusal) -> None:
        """Answer in place of the application, and close the connection, without waiting for the client."""
        if self._send_refusal(refusal):
            self._linger()
        else:
            self.drop()

    def look(self) -> None:
        """Close the overdue connection."""
        if self._has_begun() and not (self._ending or self.answering or self.rest):
            self.refuse(LATE)
        else:
            self.drop()

    def rate(self, now: float) -> float:
        """The bytes per second that the client has accepted of the rest; infinite within ``GRACE`` seconds."""
        seconds = now - self._rest_since
        return (self._rest_taken - len(self.rest)) / seconds if seconds > GRACE else inf

    def drop(self) -> None:
        """Close the connection at once; a request that still sends to it gets an ``OSError``."""
        if self.closed:
            return
        self._watch(0)
        self._release()
        self._uncount()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(ConnectionResetError())
        self._owner.forget(self)

    def _expect_request(self) -> None:
        self._uncount()
        self._head = None
        self._begun = False
        self.deadline = min(time.monotonic() + self._owner.limits.seconds, self._owner.last_call)
        if not (self._buffer and self._examine()):
            self._watch(EVENT_READ)

    def _event(self, _: int) -> None:
        try:
            if self.rest:
                self._writable()
            elif self.answering:
                self._watch(0)  # The next request, or the end of the connection, has to wait.
            else:
                self._readable()
        except Exception:  # Such as a lack of memory or threads; the other connections must go on.
            logger.exception("Unhandled exception of a connection, which is closed.")
            self.drop()

    def _readable(self) -> None:
        try:
            chunk = self._sock.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            chunk, self._ending = b"", True
        if not chunk and self._has_begun() and not self._ending:
            self.refuse(CUT_OFF)
        elif not chunk:
            self.drop()
        elif not self._ending:
            self._take(chunk)

    def _has_begun(self) -> bool:
        """Whether a part of a request has arrived: more than the empty line that some clients send after a body."""
        return not b"\r\n".startswith(bytes(self._buffer[:3]))

    def _take(self, chunk: bytes) -> None:
        if not self._has_begun():
            self.deadline = time.monotonic() + self._owner.limits.seconds
        self._buffer += chunk
        if not self._count():
            self._owner.make_room(len(self._buffer))
            self.refuse(FULL)
        elif self._head or b"\n" in chunk or b"\0" in chunk or len(self._buffer) >= self._owner.limits.head:
            self._examine()

    def _examine(self) -> bool:
        """Pass on the request if it is complete; return whether the connection no longer waits for one."""
        if self._head is None:
            verdict = read_head(self._buffer, self._owner.limits.head)
            if verdict is None:
                return False
            if isinstance(verdict, Refusal):
                self.refuse(verdict)
                return True
            self._begin_body(verdict)
        if len(self._buffer) < self._needed:
            return False
        self._pass_on()
        return True

    def _begin_body(self, head: Head) -> None:
        self._head = head
        self.unread = head.body > self._owner.limits.body
        self._needed = head.length if self.unread else head.length + head.body
        if len(self._buffer) < self._needed:
            self.deadline = time.monotonic() + self._owner.limits.seconds + head.body / SLOWEST
            if head.expects:
                with suppress(OSError):  # A client that does not receive it may send the body anyway.
                    self._sock.send(CONTINUE)

    def _pass_on(self) -> None:
        head, buffer = self._head, self._buffer
        if head is None:
            raise AssertionError("a request without a head is not complete")
        body = bytes(buffer[head.length : self._needed]) if self._needed > head.length else b""
        self._buffer = buffer[self._needed :]
        self.deadline = inf
        self.answering = True
        self._owner.respond(self, head, body)

    def _send_refusal(self, refusal: Refusal) -> bool:
        """Send the refusal, as far as the client accepts it at once; return whether it has accepted all of it."""
        request = log_context.request_id(log_context.current().get("request"))
        fields = {"request": request, "status": int(refusal.status)}
        logger.info("A request was refused: %d %s", refusal.status, refusal.sentence, extra={FIELDS: fields})
        log_context.note(status=int(refusal.status))
        self._owner.refused(refusal.status)
        answer = closing(refusal, request)
        try:
            return self._sock.send(answer) == len(answer)
        except OSError:
            return False

    def _writable(self) -> None:
        try:
            sent = self._sock.send(self.rest)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.drop()
            return
        del self.rest[:sent]
        if self.rest:
            return
        self._release()
        self.deadline = inf
        self._watch(EVENT_READ)
        then, self._then = self._then, None
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if then is not None:
            then()

    def _linger(self) -> None:
        """Shut down sending but keep reading: closing at once could reset the connection and lose the response."""
        self._uncount()
        self._ending = True
        self._buffer = bytearray()
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop()
            return
        self.deadline = time.monotonic() + LINGER
        self._watch(EVENT_READ)

    def _watch(self, interest: int) -> None:
        """Wait for the client to send, or to accept more, or (0) for neither."""
        selector = self._owner.loop.selector
        if interest == self._interest:
            return
        if not interest:
            selector.unregister(self._sock)
        elif self._interest:
            selector.modify(self._sock, interest, self._event)
        else:
            selector.register(self._sock, interest, self._event)
        self._interest = interest

    def _release(self) -> None:
        if self._rest_taken:
            self._owner.budget.give_back(self._rest_taken)
        self.rest, self._rest_taken = bytearray(), 0

    def _count(self) -> bool:
        """Count the received bytes beyond ``CHUNK``; return whether the budget has room for them."""
        more = len(self._buffer) - CHUNK - self._counted
        if more <= 0:
            return True
        if not self._owner.budget.has_room(more):
            return False
        self._owner.budget.take(more)
        self._counted += more
        return True

    def _uncount(self) -> None:
        self._owner.budget.give_back(self._counted)
        self._counted = 0
