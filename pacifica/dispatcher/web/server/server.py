"""The HTTP server for CherryPy's ``ServerAdapter``: one loop that receives requests and runs the application."""

import ctypes
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from selectors import EVENT_READ
from typing import Any, NamedTuple

from .bounds import CROWDED, FAST, PAUSE, SPARE, Budget, Limits
from .connection import Connection
from .exchange import COMMON, Application, Exchange, environment
from .head import Head
from .loop import WAITER, Call, Loop

logger = logging.getLogger(__name__)

SOFTWARE = "Pacifica-Dispatcher"
GONE = "pacifica.dispatcher.gone"
"""The key of a request's WSGI environment under which the application finds ``Connection.has_gone``."""
ACCEPTED = 32
"""The most connections that are accepted in one round of the loop."""
MAX_BODY = 10_000
"""The largest body, in bytes, of a request that the loop runs itself; a larger one may take long to validate."""
NO_FILE_PAUSE = 0.5
"""Seconds without accepting when the process cannot open any more files."""
OTHER_FILES = 300
"""The files that a process opens beside its connections, at most."""
LARGE, M_MMAP_THRESHOLD = 1_048_576, -3
"""glibc maps a block of at least so many bytes by itself, and unmaps it when it is freed. Source: mallopt(3)."""


class ServerOptions(NamedTuple):
    """``keep`` is that of ``Loop``; ``refused`` is called with the status of each refusal.

    With ``inline`` the loop runs the requests in greenlets, and otherwise each has a thread for its whole time.
    ``grace`` is the time for the requests that have begun when the server stops, in seconds.
    """

    threads: int = 10
    limits: Limits = Limits()
    grace: float = 5.0
    inline: bool = True
    multiprocess: bool = False
    keep: Callable[[], Call] = lambda: lambda: None
    refused: Callable[[int], object] = lambda _: None


class Server:
    """Serves a WSGI application on a listening socket; ``start`` returns when another thread has called ``stop``."""

    def __init__(self, application: Application, listener: socket.socket, options: ServerOptions) -> None:
        self.limits = options.limits
        self.budget = Budget(options.limits.taken)
        self.last_call = inf
        self.refused = options.refused
        self._application = application
        self._listener = listener
        self._address = listener.getsockname()
        self._options = options
        self._common = {**COMMON, "SERVER_SOFTWARE": SOFTWARE, "wsgi.multiprocess": options.multiprocess}
        self._connections: set[Connection] = set()
        self._running = self._threaded = 0
        self._next_look = 0.0
        self._ended = threading.Event()
        self.ready = False
        """Whether it serves; CherryPy waits for it."""

    def __str__(self) -> str:
        """The place where it listens, for the log."""
        if not isinstance(self._address, tuple):
            return f"socket file: {self._address}"
        host, port = self._address[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def start(self) -> None:
        """Serve until the server is stopped, and then end the requests that have begun."""
        return_large_blocks()
        self.loop = Loop(self._options.keep, self._options.threads)
        self._listener.settimeout(0)
        self.loop.selector.register(self._listener, EVENT_READ, self._accept)
        self.ready = True
        try:
            while self.ready:
                self._go_round(PAUSE)
            self._finish()
        finally:
            self._close()

    def stop(self) -> None:
        """Stop, and return when the server has ended."""
        if self.ready:
            self.ready = False
            self.loop.call(lambda: None)
            self._ended.wait()

    def respond(self, connection: Connection, head: Head, body: bytes) -> None:
        """Answer a request: in a greenlet of the loop, or in a thread."""
        self._running += 1
        if self._options.inline and len(body) <= MAX_BODY and not self.loop.is_wary:
            self.loop.start(partial(self._answer, connection, head, body, connection.common))
            return
        self._threaded += 1
        # Requests that wait for jobs may hold half of the threads.
        common = {**connection.common, "wsgi.multithread": self._threaded <= self._options.threads // 2}
        self.loop.threads.submit(self._answer, connection, head, body, common)

    def make_room(self, length: int) -> None:
        """Disconnect the slowest readers, so that a later response of this length finds room."""
        now = time.monotonic()
        for rate, _, connection in sorted((one.rate(now), id(one), one) for one in self._connections if one.rest):
            if length <= 0 or rate >= FAST:
                break
            length -= len(connection.rest)
            self.loop.call(connection.drop)

    def forget(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def _answer(self, connection: Connection, head: Head, body: bytes, common: Mapping[str, Any]) -> None:
        keep = False
        try:
            exchange = Exchange(head, connection.send, lambda: self.ready and not connection.unread)
            keep = exchange.answer(self._application, environment(head, body, common))
        finally:
            if WAITER.on_loop():
                self._answered(connection, keep=keep)
            else:
                self.loop.call(partial(self._answered, connection, keep=keep, threads=1))

    def _answered(self, connection: Connection, *, keep: bool, threads: int = 0) -> None:
        self._running -= 1
        self._threaded -= threads
        connection.end(keep=keep)

    def _accept(self, _: int) -> None:
        for _ in range(ACCEPTED):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                logger.warning("A connection cannot be accepted: %s", error.strerror)
                time.sleep(NO_FILE_PAUSE)
                return
            if len(self._connections) >= self.limits.connections + SPARE:
                sock.close()
                continue
            connection = Connection(self, sock)
            connection.common = {**self._common, **addresses(address, self._address), GONE: connection.has_gone}
            self._connections.add(connection)
            if len(self._connections) > self.limits.connections:
                connection.refuse(CROWDED)

    def _go_round(self, longest: float) -> None:
        self.loop.go_round(longest)
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + PAUSE
            for connection in [one for one in self._connections if one.deadline < now]:
                connection.look()

    def _finish(self) -> None:
        """Finish the requests that have begun, within the grace period."""
        self.loop.selector.unregister(self._listener)
        self._listener.close()
        self.last_call = time.monotonic()
        end = self.last_call + self._options.grace
        for connection in [one for one in self._connections if one.idle]:
            connection.drop()
        while (self._running or any(one.rest for one in self._connections)) and time.monotonic() < end:
            self._go_round(0.05)

    def _close(self) -> None:
        self.ready = False
        for connection in list(self._connections):
            connection.drop()
        self.loop.close()
        self._ended.set()


def return_large_blocks() -> None:
    """Have the allocator return large blocks to the system; by default it keeps those up to 32 MB for reuse."""
    with suppress(OSError, AttributeError):  # Another C library.
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


def most_connections() -> int:
    """The most connections that the process can have, after an attempt to raise its limit on open files."""
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return Limits().connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = Limits().connections + OTHER_FILES
    wanted = hard if 0 <= hard < wanted else max(soft, wanted)  # RLIM_INFINITY is negative.
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, min(Limits().connections, wanted - OTHER_FILES))


def addresses(client: Any, server: Any) -> dict[str, str]:
    """The addresses of client and server for WSGI; a Unix socket has no ports, and its client may be any bytes."""
    if isinstance(client, tuple) and isinstance(server, tuple):
        own = {"SERVER_NAME": server[0], "SERVER_PORT": str(server[1])}
        return own | {"REMOTE_ADDR": client[0], "REMOTE_PORT": str(client[1])}
    return {"REMOTE_ADDR": client.decode("latin-1") if isinstance(client, bytes) else str(client)}
