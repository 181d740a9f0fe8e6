"""A worker for gunicorn, its own of threads, behind an intake: threads get whole requests only.

Chosen by ``pacifica.dispatcher.gunicorn_conf``. With TLS, with the PROXY protocol, and with HTTP/2, gunicorn
reads requests itself, and a client that sends slowly holds a thread.
"""

import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol, runtime_checkable

from gunicorn import http
from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.http.unreader import Unreader
from gunicorn.workers.gthread import TConn, ThreadWorker

from .answer import closing
from .exchange import COMMON, Exchange, environment
from .head import MOST_FIELDS, Head
from .inline import Call, Inline
from .intake import GONE, Incoming, Intake, Limits

LONGEST_TARGET = 8000
"""Bytes of a request line that gunicorn has to let through for the application to judge it."""
BETWEEN_NOTICES = 0.2
"""Seconds between two signs of life to gunicorn's master, at least."""


@runtime_checkable
class Told(Protocol):
    """An application that wants to know how many threads serve it, and when its worker begins, and begins to stop."""

    threads: int | None

    def begin(self) -> None:
        """The worker is forked, and about to serve."""

    def body_limit(self) -> int:
        """The largest body of a request, in bytes."""

    def stop(self) -> None:
        """The worker stops once what runs is answered."""

    def refused(self, status: int) -> None:
        """A request was answered without the application."""

    def is_brief(self, head: bytes, body: int) -> bool:
        """Whether a request with that head, and so many bytes of body, waits for nothing but a commit."""

    def keep(self) -> Call:
        """What a thread holds for the request that it answers, given back to it when that is called."""


class Taken(Unreader):  # type: ignore[misc]
    """The one request that was taken in, in place of a socket."""

    def __init__(self, request: bytes) -> None:
        super().__init__()
        self._request = request
        self._at = 0

    def read(self, size: int | None = None, read_ahead: int | None = None) -> bytes:  # noqa: ARG002
        """At most that many bytes, and none at the request's end."""
        found = self._request[self._at : self._at + (8192 if size is None or size < 0 else size)]
        self._at += len(found)
        return found

    def unread(self, data: bytes) -> None:
        """Give back the last bytes that were read."""
        self._at -= len(data)


class Answers:
    """Stands for the socket that gunicorn writes to, and sends by the intake, which waits for no client.

    gunicorn writes the head of an answer first; it is sent with the first piece of the body.
    """

    def __init__(self, incoming: Incoming, send: Callable[[bytes], None]) -> None:
        self._client = incoming.sock
        self._send = send
        self._head: bytes | None = None
        self.has_gone = incoming.has_gone

    def begin(self) -> None:
        """Await the next answer."""
        self._head = b""

    def sendall(self, piece: bytes) -> None:
        """Send it, after what waits for it; raises ``OSError``."""
        if self._head == b"":
            self._head = piece
            return
        head, self._head = self._head, None
        self._send(piece if head is None else head + piece)

    def finish(self) -> None:
        """Send what still waits; raises ``OSError``."""
        if self._head:
            self.sendall(b"")
        self._head = None

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - socket's own
        """gunicorn says so before each request; the intake's sockets never wait."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class Connection(TConn):  # type: ignore[misc]
    """gunicorn's connection, whose parser reads what was taken in."""

    def __init__(self, cfg: Any, client: socket.socket, address: Any, server: Any, intake: Intake) -> None:
        super().__init__(cfg, client, address, server)
        self.intake = intake
        self.incoming = Incoming(client, self)
        self.send = partial(intake.send, self.incoming)
        self.sock = Answers(self.incoming, self.send)
        self.initialized = True
        self.common = {
            **COMMON,
            **ends(address, server),
            "wsgi.multiprocess": cfg.workers > 1,
            GONE: self.incoming.has_gone,
        }
        self.parser = http.get_parser(cfg, (), address)

    def read(self, request: bytes) -> None:
        """Have the parser read this next, and forget what it has read."""
        self.parser.mesg = None
        self.parser.unreader = Taken(request)
        self.sock.begin()


class ErrorPage:
    """Stands for the socket to which gunicorn writes an error page, and sends a problem document in its place."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def sendall(self, page: bytes) -> None:
        """Send the problem of the page's status."""
        self._client.sendall(closing(HTTPStatus(int(page[9:12]))))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def ends(address: Any, server: Any) -> dict[str, str]:
    """What WSGI calls both ends of a connection; at a Unix socket there are no ports, and a client may be any bytes."""
    if isinstance(address, tuple) and isinstance(server, tuple):
        own = {"SERVER_NAME": server[0], "SERVER_PORT": str(server[1])}
        return own | {"REMOTE_ADDR": address[0], "REMOTE_PORT": str(address[1])}
    return {"REMOTE_ADDR": address.decode("latin-1") if isinstance(address, bytes) else str(address)}


def is_plain(cfg: Any, log: Any) -> bool:
    """Whether a request needs nothing of gunicorn's: no access line, no hook, no prefix of paths, no narrower bound."""
    hooked = any(
        cfg.settings[name].get() is not type(cfg.settings[name]).default for name in ("pre_request", "post_request")
    )
    narrow = 0 < cfg.limit_request_line < LONGEST_TARGET or cfg.limit_request_fields < MOST_FIELDS
    told = type(log).access is not GunicornLogger.access or log.access_log_enabled
    return not (hooked or narrow or told or os.environ.get("SCRIPT_NAME"))


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's worker of threads; ``keepalive`` is also the time for a head, ``worker_connections`` refuses more."""

    intake: Intake | None = None
    inline: Inline | None = None
    alive: bool
    _told = False
    _plain = False
    _schemes: frozenset[bytes] = frozenset()
    _notified = float("-inf")

    def run(self) -> None:
        """Serve until told to stop."""
        limits = Limits()
        if isinstance(self.wsgi, Told):
            self.wsgi.threads = self.cfg.threads
            self.wsgi.begin()
            body = self.wsgi.body_limit()
            limits = Limits(body=body, taken=4 * body)
        if not (self.cfg.is_ssl or self.cfg.proxy_protocol != "off" or self.cfg.http2_cleartext != "off"):
            seconds, head = float(self.cfg.keepalive or limits.seconds), self.cfg.limit_request_field_size
            limits = limits._replace(seconds=seconds, head=head or limits.head, connections=self.cfg.worker_connections)
            # The intake answers the connections beyond the limit; gunicorn would leave them waiting.
            self.worker_connections = sys.maxsize
            self.intake = Intake(self.poller, limits, self._ready, self._gone, self._refused)
            if isinstance(self.wsgi, Told):
                self.inline = Inline(self.poller, self.wsgi.keep)
            self._plain = is_plain(self.cfg, self.log)
            self._schemes = frozenset(name.lower().encode("latin-1") for name in self.cfg.secure_scheme_headers)
        super().run()

    def accept(self, listener: socket.socket) -> None:
        """Take a connection in; no thread has to do with it yet."""
        if self.intake is None:
            super().accept(listener)
            return
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        self.intake.admit(Connection(self.cfg, client, address, listener.getsockname(), self.intake).incoming)

    def _answer(self, conn: Connection, head: Head, body: bytes) -> None:
        """Answer, then await the connection's next request, or close it; gunicorn would ask its loop to do so."""
        keep = False
        try:
            keep = self._exchange(conn, head, body) if self._fits(head) else self._handle(conn, head.text + body)
        except SystemExit:
            if not self.alive:  # It is gunicorn's, by a signal.
                raise
            self.log.exception("A request would have ended the worker.")
        finally:
            go_on = partial(conn.intake.resume if keep else conn.intake.end, conn.incoming)
            if self.alive:
                go_on()
            else:  # The loop awaits the end of each connection.
                self.method_queue.defer(go_on)

    def _exchange(self, conn: Connection, head: Head, body: bytes) -> bool:
        """In place of gunicorn's reader and writer."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        exchange = Exchange(
            head, conn.send, lambda: self.alive and bool(self.cfg.keepalive) and not conn.incoming.unread
        )
        return exchange.answer(self.wsgi, environment(head, body, conn.common))

    def _handle(self, conn: Connection, request: bytes) -> bool:
        """By gunicorn's reader and writer."""
        conn.read(request)
        keep = False
        try:
            keep = bool(self.handle(conn))
            conn.sock.finish()
        except OSError:
            keep = False
        finally:
            conn.read(b"")
        return keep

    def handle_request(self, req: Any, conn: Any) -> bool:
        """After a body that is not read, nothing more can be."""
        if self.intake is not None and conn.incoming.unread:
            req.force_close()
        answered: bool = super().handle_request(req, conn)
        return answered

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer with a problem document."""
        super().handle_error(req, ErrorPage(client), addr, exc)

    def notify(self) -> None:
        """Tell the master that the worker lives: not for each event, as it looks once a second."""
        if (now := time.monotonic()) >= self._notified + BETWEEN_NOTICES:
            self._notified = now
            super().notify()

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - gunicorn's
        """End what is late, in each round of gunicorn's loop."""
        super().murder_keepalived(force)
        if self.intake is not None:
            self.intake.look()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop at once."""
        self._tell_once()
        super().handle_quit(sig, frame)

    def _cap_keepalive(self, deadline: float) -> None:
        """gunicorn calls this as the first thing of an orderly stop, whatever the reason."""
        super()._cap_keepalive(deadline)
        self._tell_once()
        if self.intake is not None:
            self.intake.last_call(deadline)

    def _tell_once(self) -> None:
        if isinstance(self.wsgi, Told) and not self._told:
            self._told = True
            self.wsgi.stop()

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:  # noqa: FBT001 - gunicorn's
        """Where the next request begins is known, whatever of the body was read."""
        return keepalive if self.intake is not None else bool(super()._keepalive_after(conn, keepalive))

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """A round of gunicorn's loop."""
        super().wait_for_and_dispatch_events(timeout)
        if self.inline is not None:
            self.inline.go_round()

    def _ready(self, incoming: Incoming, head: Head, body: bytes) -> None:
        """Have the loop, or a thread of the pool, answer the request."""
        answer = partial(self._answer, incoming.owner, head, body)
        inline = self.inline if self._fits(head) else None
        if inline is not None and inline.has_time() and self.wsgi.is_brief(head.text, head.body):
            inline.answer(answer)
        else:
            self.tpool.submit(answer)

    def _fits(self, head: Head) -> bool:
        """Whether gunicorn would see nothing in the request that it has to do with."""
        return self._plain and not any(name.lower() in self._schemes for name, _ in head.fields)

    def _refused(self, status: int) -> None:
        if isinstance(self.wsgi, Told):
            self.wsgi.refused(status)

    def _gone(self, _: Incoming) -> None:
        """Told by any thread; the loop counts."""
        self.method_queue.defer(self._uncount)

    def _uncount(self) -> None:
        self.nr_conns -= 1
