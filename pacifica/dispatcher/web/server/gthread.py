"""gunicorn's threaded worker behind an intake, so that its threads receive only whole requests.

``pacifica.dispatcher.gunicorn_conf`` selects it. With TLS, the PROXY protocol or HTTP/2, gunicorn reads requests
itself, and a slow client occupies a thread.
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
from .bounds import Limits
from .exchange import COMMON, Exchange, environment
from .head import MOST_FIELDS, Head
from .inline import Call, Inline
from .intake import GONE, Incoming, Intake

MAX_TARGET = 8000
"""The length of a request line, in bytes, that gunicorn must allow so that the application can check it."""
NOTIFY_INTERVAL = 0.2
"""The least number of seconds between two heartbeats to gunicorn's master."""


@runtime_checkable
class ManagedApplication(Protocol):
    """An application that is notified of its number of threads, and of the start and stop of its worker."""

    threads: int | None

    def begin(self) -> None:
        """Prepare to serve; called after the worker was forked."""

    def body_limit(self) -> int:
        """Return the largest request body, in bytes."""

    def stop(self) -> None:
        """Stop; called once, while the worker finishes its requests."""

    def refused(self, status: int) -> None:
        """Count a request that the server answered without the application."""

    def is_brief(self, head: bytes, body: int) -> bool:
        """Return whether a request with this head and body length waits for nothing but a commit."""

    def keep(self) -> Call:
        """Save the thread's state of the current request; the function returned restores it."""


class ReplayedRequest(Unreader):  # type: ignore[misc]
    """Replaces gunicorn's socket reader with one request that was received whole."""

    def __init__(self, request: bytes) -> None:
        super().__init__()
        self._request = request
        self._at = 0

    def read(self, size: int | None = None, read_ahead: int | None = None) -> bytes:  # noqa: ARG002
        """At most so many bytes; empty at the end of the request."""
        found = self._request[self._at : self._at + (8192 if size is None or size < 0 else size)]
        self._at += len(found)
        return found

    def unread(self, data: bytes) -> None:
        """Put back the last bytes that were read."""
        self._at -= len(data)


class Answers:
    """Replaces the socket that gunicorn writes to, and sends through the intake, which never waits for a client.

    gunicorn writes the head of a response first; it is sent together with the first piece of the body.
    """

    def __init__(self, incoming: Incoming, send: Callable[[bytes], None]) -> None:
        self._client = incoming.sock
        self._send = send
        self._head: bytes | None = None
        self.has_gone = incoming.has_gone

    def begin(self) -> None:
        self._head = b""

    def sendall(self, piece: bytes) -> None:
        """Send a piece, after a pending head; raises ``OSError``."""
        if self._head == b"":
            self._head = piece
            return
        head, self._head = self._head, None
        self._send(piece if head is None else head + piece)

    def finish(self) -> None:
        """Send a pending head; raises ``OSError``."""
        if self._head:
            self.sendall(b"")
        self._head = None

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - the signature of socket
        """Ignore gunicorn's call before each request; sockets of the intake never block."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class GunicornConnection(TConn):  # type: ignore[misc]
    """gunicorn's connection, whose parser reads a request that was received whole."""

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
        """Make the parser read this request, and discard its state."""
        self.parser.mesg = None
        self.parser.unreader = ReplayedRequest(request)
        self.sock.begin()


class ErrorPage:
    """Replaces the socket to which gunicorn writes an error page, and sends a problem document instead."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def sendall(self, page: bytes) -> None:
        """Send the problem document for the status of the page."""
        self._client.sendall(closing(HTTPStatus(int(page[9:12]))))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def ends(address: Any, server: Any) -> dict[str, str]:
    """The addresses of server and client for WSGI; a Unix socket has no ports, and its client may be any bytes."""
    if isinstance(address, tuple) and isinstance(server, tuple):
        own = {"SERVER_NAME": server[0], "SERVER_PORT": str(server[1])}
        return own | {"REMOTE_ADDR": address[0], "REMOTE_PORT": str(address[1])}
    return {"REMOTE_ADDR": address.decode("latin-1") if isinstance(address, bytes) else str(address)}


def is_plain(cfg: Any, log: Any) -> bool:
    """Whether gunicorn need not see the requests: no access log, hook, path prefix or lower limit is configured."""
    hooked = any(
        cfg.settings[name].get() is not type(cfg.settings[name]).default for name in ("pre_request", "post_request")
    )
    narrow = 0 < cfg.limit_request_line < MAX_TARGET or cfg.limit_request_fields < MOST_FIELDS
    logs = type(log).access is not GunicornLogger.access or log.access_log_enabled
    return not (hooked or narrow or logs or os.environ.get("SCRIPT_NAME"))


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker; ``keepalive`` also limits the time for a head."""

    intake: Intake | None = None
    inline: Inline | None = None
    alive: bool
    _stop_notified = False
    _plain = False
    _schemes: frozenset[bytes] = frozenset()
    _notified = float("-inf")

    def run(self) -> None:
        """Serve until the worker stops."""
        limits = Limits()
        if isinstance(self.wsgi, ManagedApplication):
            self.wsgi.threads = self.cfg.threads
            self.wsgi.begin()
            body = self.wsgi.body_limit()
            limits = Limits(body=body, taken=4 * body)
        if not (self.cfg.is_ssl or self.cfg.proxy_protocol != "off" or self.cfg.http2_cleartext != "off"):
            seconds, head = float(self.cfg.keepalive or limits.seconds), self.cfg.limit_request_field_size
            limits = limits._replace(seconds=seconds, head=head or limits.head, connections=self.cfg.worker_connections)
            # The intake refuses connections beyond the limit; gunicorn would leave them waiting.
            self.worker_connections = sys.maxsize
            self.intake = Intake(self.poller, limits, self._ready, self._gone, self._refused)
            if isinstance(self.wsgi, ManagedApplication):
                self.inline = Inline(self.poller, self.wsgi.keep)
            self._plain = is_plain(self.cfg, self.log)
            self._schemes = frozenset(name.lower().encode("latin-1") for name in self.cfg.secure_scheme_headers)
        super().run()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection into the intake; no thread handles it yet."""
        if self.intake is None:
            super().accept(listener)
            return
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        self.intake.admit(GunicornConnection(self.cfg, client, address, listener.getsockname(), self.intake).incoming)

    def _answer(self, conn: GunicornConnection, head: Head, body: bytes) -> None:
        """Answer, then wait for the connection's next request or close it, in place of gunicorn's loop."""
        keep = False
        try:
            keep = self._exchange(conn, head, body) if self._fits(head) else self._handle(conn, head.text + body)
        except SystemExit:
            if not self.alive:  # gunicorn raised it in a signal handler.
                raise
            self.log.exception("A request raised SystemExit; the worker continues.")
        finally:
            go_on = partial(conn.intake.resume if keep else conn.intake.end, conn.incoming)
            if self.alive:
                go_on()
            else:  # The loop waits for the end of each connection.
                self.method_queue.defer(go_on)

    def _exchange(self, conn: GunicornConnection, head: Head, body: bytes) -> bool:
        """Answer without gunicorn's reader and writer."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        exchange = Exchange(
            head, conn.send, lambda: self.alive and bool(self.cfg.keepalive) and not conn.incoming.unread
        )
        return exchange.answer(self.wsgi, environment(head, body, conn.common))

    def _handle(self, conn: GunicornConnection, request: bytes) -> bool:
        """Answer with gunicorn's reader and writer."""
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
        """Answer the request; after an unread body the connection cannot be used again."""
        if self.intake is not None and conn.incoming.unread:
            req.force_close()
        answered: bool = super().handle_request(req, conn)
        return answered

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer an error with a problem document."""
        super().handle_error(req, ErrorPage(client), addr, exc)

    def notify(self) -> None:
        """Send a heartbeat to the master, which checks once a second; not one for each event."""
        if (now := time.monotonic()) >= self._notified + NOTIFY_INTERVAL:
            self._notified = now
            super().notify()

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of gunicorn
        """Close overdue connections; called in each round of gunicorn's loop."""
        super().murder_keepalived(force)
        if self.intake is not None:
            self.intake.look()

    def handle_quit(self, sig: int, frame: Any) -> None:
        self._notify_stop()
        super().handle_quit(sig, frame)

    def _cap_keepalive(self, deadline: float) -> None:
        """Begin an orderly stop; gunicorn calls this first, whatever the reason."""
        super()._cap_keepalive(deadline)
        self._notify_stop()
        if self.intake is not None:
            self.intake.last_call(deadline)

    def _notify_stop(self) -> None:
        if isinstance(self.wsgi, ManagedApplication) and not self._stop_notified:
            self._stop_notified = True
            self.wsgi.stop()

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:  # noqa: FBT001 - the signature of gunicorn
        """Whether the connection stays open; the intake knows where the next request begins."""
        return keepalive if self.intake is not None else bool(super()._keepalive_after(conn, keepalive))

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Run one round of gunicorn's loop."""
        super().wait_for_and_dispatch_events(timeout)
        if self.inline is not None:
            self.inline.go_round()

    def _ready(self, incoming: Incoming, head: Head, body: bytes) -> None:
        """Let the loop or a thread of the pool answer the request."""
        answer = partial(self._answer, incoming.owner, head, body)
        inline = self.inline if self._fits(head) else None
        if inline is not None and inline.has_time() and self.wsgi.is_brief(head.text, head.body):
            inline.answer(answer)
        else:
            self.tpool.submit(answer)

    def _fits(self, head: Head) -> bool:
        """Whether gunicorn need not see this request."""
        return self._plain and not any(name.lower() in self._schemes for name, _ in head.fields)

    def _refused(self, status: int) -> None:
        if isinstance(self.wsgi, ManagedApplication):
            self.wsgi.refused(status)

    def _gone(self, _: Incoming) -> None:
        """Called by any thread; the loop counts."""
        self.method_queue.defer(self._uncount)

    def _uncount(self) -> None:
        self.nr_conns -= 1
