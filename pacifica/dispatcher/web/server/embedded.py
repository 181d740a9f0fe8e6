"""CherryPy's server, cheroot, behind an intake, so that its threads receive only whole requests.

With TLS, cheroot reads requests itself, and a slow client occupies a thread.
"""

import os
import queue
import time
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from io import BytesIO
from math import inf
from selectors import EVENT_READ, DefaultSelector
from typing import Any

from cheroot.connections import ConnectionManager
from cheroot.makefile import MakeFile
from cheroot.server import HeaderReader, HTTPConnection
from cheroot.wsgi import Gateway_10 as WSGIGateway_10
from cherrypy._cpwsgi_server import CPWSGIHTTPRequest, CPWSGIServer

from ..request_classes import keep
from .answer import closing
from .bounds import BUSY, Limits
from .exchange import COMMON, Exchange, environment
from .head import Head
from .inline import Call, Inline
from .intake import GONE, Incoming, Intake

ACCEPTED = 32
"""The most connections that are accepted in one round of the loop."""


class DropUnderscores(HeaderReader):
    """For TLS: drops headers with ``_`` in their names, which WSGI cannot distinguish from ``-``."""

    def _allow_header(self, key_name: bytes) -> bool:
        return b"_" not in key_name


class Request(CPWSGIHTTPRequest):  # type: ignore[misc]
    """cheroot's request, which answers its own errors with problem documents."""

    header_reader = DropUnderscores()
    close_connection: bool

    def read_request_headers(self) -> bool:
        """Read the headers; after an unread body the connection cannot be used again."""
        read: bool = super().read_request_headers()
        self.close_connection = self.close_connection or self.conn.incoming.unread
        return read

    def simple_response(self, status: str, msg: str = "") -> None:  # noqa: ARG002 - cheroot's message
        """Send an error of cheroot."""
        self.close_connection = True
        self.conn.wfile.write(closing(HTTPStatus(int(str(status)[:3]))))


class ReceivedRequest(BytesIO):
    """The source from which cheroot reads a request that was received whole."""

    def __init__(self, request: bytes = b"") -> None:
        super().__init__(request)
        self.bytes_read = len(request)


class Writer:
    """Sends through the intake; cheroot's own writer waits for the client, and uses the slow ``_pyio``."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self.bytes_written = 0

    def write(self, data: bytes) -> int:
        """Send the data, or buffer what the client does not accept yet."""
        self._send(data)
        self.bytes_written += len(data)
        return len(data)


class Gateway(WSGIGateway_10):
    """cheroot's bridge to the application, which can check whether the client is still connected."""

    def __init__(self, req: Any) -> None:
        super().__init__(req)
        self.env[GONE] = req.conn.incoming.has_gone


class EmbeddedConnection(HTTPConnection):
    """cheroot's connection; without TLS, it answers the one request that the intake has received."""

    received: tuple[Head, bytes] | None = None

    def __init__(self, server: "Server", sock: Any, makefile: Any = MakeFile) -> None:
        self.incoming = Incoming(sock, self)
        super().__init__(server, sock, self._makefile if server.intake else makefile)

    def take(self, head: Head, body: bytes) -> None:
        """Prepare the next request; cheroot answers it itself if its statistics or peer credentials are enabled."""
        plain = not (self.server.stats["Enabled"] or self.server.peercreds_enabled)
        self.rfile = ReceivedRequest() if plain else ReceivedRequest(head.text + body)
        self.received = (head, body) if plain else None

    def communicate(self) -> bool:
        """Answer the request; return whether the connection is kept open."""
        if self.received is None:
            kept: bool = super().communicate()  # type: ignore[no-untyped-call]
            return kept
        (head, body), self.received = self.received, None
        exchange = Exchange(head, self.wfile.write, lambda: self.server.ready and not self.incoming.unread)
        return exchange.answer(self.server.wsgi_app, environment(head, body, self._common()))

    def close(self) -> None:
        """Close the connection so that the client can still read the response."""
        if self.server.intake is None:
            super().close()
        else:
            self.rfile.close()
            self.server.intake.end(self.incoming)

    def _common(self) -> Mapping[str, Any]:
        """The part of the WSGI environment that all requests of the connection share."""
        return {
            **COMMON,
            "REMOTE_ADDR": self.remote_addr or "",
            "REMOTE_PORT": str(self.remote_port or ""),
            "SERVER_NAME": self.server.server_name,
            "SERVER_PORT": "" if isinstance(self.server.bind_addr, str) else str(self.server.bind_addr[1]),
            "SERVER_SOFTWARE": self.server.software,
            "wsgi.multiprocess": False,
            GONE: self.incoming.has_gone,
        }

    def _makefile(self, _: Any, mode: str, __: int) -> Any:
        return ReceivedRequest() if "r" in mode else Writer(partial(self.server.intake.send, self.incoming))


class Connections(ConnectionManager):
    """cheroot's connection loop, which receives requests through the intake."""

    can_add_keepalive_connection = True
    _selector: Any
    _stop_requested: bool
    _from_server_socket: Callable[[Any], "EmbeddedConnection | None"]

    def __init__(self, server: "Server") -> None:
        super().__init__(server)
        self._selector.close()
        self._selector = DefaultSelector()
        self._selector.register(server.socket, EVENT_READ, self._accept)
        server.socket.settimeout(0)
        self.intake = Intake(self._selector, server.limits, self._ready, refused=server.on_refusal)
        self.inline = Inline(self._selector, server.keep)

    def put(self, conn: EmbeddedConnection) -> None:
        """Wait for the next request; called by the thread that has answered one."""
        conn.last_used = time.time()
        conn.rfile.close()
        self.intake.resume(conn.incoming)

    def close(self) -> None:
        """Close all connections that no thread is answering."""
        self.intake.close()
        self.inline.close()
        self._selector.close()

    def _run(self, expiration_interval: float) -> None:
        # On Windows, select does not notice sockets that another thread registers meanwhile.
        pause = min(expiration_interval, 0.05) if os.name == "nt" else expiration_interval
        while not self._stop_requested:
            self._go_round(pause)
        self._end()

    def _end(self) -> None:
        """Finish the requests that have begun, within the shutdown timeout."""
        self._selector.unregister(self.server.socket)
        seconds = self.server.shutdown_timeout
        end = time.monotonic() + (inf if seconds is None else seconds)
        self.intake.last_call(time.monotonic())
        while self.inline.is_busy() and time.monotonic() < end:
            self._go_round(0.05)

    def _go_round(self, pause: float) -> None:
        for key, _ in self._selector.select(pause):
            key.data(key.fileobj)
        self.inline.go_round()
        self.intake.look()

    def _accept(self, listener: Any) -> None:
        for _ in range(ACCEPTED):
            conn = self._from_server_socket(listener)
            if conn is None:
                return
            self.intake.admit(conn.incoming)

    def _ready(self, incoming: Incoming, head: Head, body: bytes) -> None:
        conn = incoming.owner
        conn.take(head, body)
        inline = self.inline.has_time() and conn.received is not None and not self._stop_requested
        if inline and self.server.is_brief(head.text, head.body):
            self.inline.answer(partial(self._answer, conn))
            return
        try:
            self.server.requests.put(conn)
        except queue.Full:
            self.intake.refuse(incoming, BUSY)

    def _answer(self, conn: EmbeddedConnection) -> None:
        """Answer as one of cheroot's threads does."""
        keep = False
        try:
            keep = conn.communicate()
        finally:
            if keep:
                self.put(conn)
            else:
                conn.close()


class Server(CPWSGIServer):  # type: ignore[misc]
    """The embedded server, configured by CherryPy's ``server`` settings."""

    ConnectionClass = EmbeddedConnection
    _connections: Any

    def __init__(self, adapter: Any, body_limit: int) -> None:
        super().__init__(adapter)
        EmbeddedConnection.RequestHandlerClass = Request  # CherryPy's constructor sets its own class.
        self.gateway = Gateway
        self.requests._queue_put_timeout = 0  # noqa: SLF001 - cheroot has no public setting; the loop must not block
        seconds, head = float(self.timeout), self.max_request_header_size or Limits().head
        self.on_refusal: Callable[[int], object] = lambda _: None
        self.is_brief: Callable[[bytes, int], bool] = lambda _head, _body: False
        self.keep: Callable[[], Call] = keep
        self.limits = Limits(seconds, head, body_limit, 4 * body_limit)

    @property
    def intake(self) -> Intake | None:
        """The intake; ``None`` with TLS."""
        return getattr(self._connections, "intake", None)

    def prepare(self) -> None:
        """Listen, and start the threads."""
        super().prepare()
        if self.ssl_adapter is None:
            self._connections._selector.close()  # noqa: SLF001 - cheroot offers no way to replace its selector
            self._connections = Connections(self)
