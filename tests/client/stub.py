"""A stub HTTP server with scripted answers, for answers that a test cannot make a dispatcher give."""

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JOB = {
    "uuid": "01a20a87-952e-7637-b259-b34fb625e63a",
    "task": "add",
    "state": "SUCCESS",
    "result": 4,
    "error": None,
    "args": [2, 2],
    "kwargs": {},
    "attempt": 1,
    "labels": {},
    "progress": None,
    "worker": None,
    "replay_of": None,
    "created": "2026-11-23T22:29:47.438375Z",
    "started": None,
    "finished": None,
}


@dataclass
class Answer:
    """One answer; status 0 stands for a cut connection."""

    status: int = 200
    body: Any = field(default_factory=lambda: JOB)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Received:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Stub:
    """Gives its answers in turn, the last one repeatedly, and records the requests."""

    url: str
    answers: list[Answer] = field(default_factory=list)
    requests: list[Received] = field(default_factory=list)

    def will(self, *answers: Answer) -> None:
        """Replace the answers, and forget the requests."""
        self.answers[:], self.requests[:] = answers, []


def busy(status: int = 503, **headers: str) -> Answer:
    """A problem that another try may not meet."""
    problem = {"type": "urn:pacifica-dispatcher:problem:unavailable", "status": status, "detail": "Not just now."}
    return Answer(status, problem, {name.replace("_", "-"): value for name, value in headers.items()})


@contextmanager
def stubbed(answers: Sequence[Answer] = ()) -> Iterator[Stub]:
    """A running stub."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length).decode()
            stub.requests.append(Received(self.command, self.path, dict(self.headers), body))
            answer = stub.answers.pop(0) if len(stub.answers) > 1 else stub.answers[0]
            if not answer.status:
                self.close_connection = True
                return
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(content)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *request: Any) -> None:
            """Print nothing about a client that resets its connection: tests compare the standard error."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(*request)

    server = Server(("127.0.0.1", 0), Handler)
    stub = Stub(f"http://127.0.0.1:{server.server_address[1]}", list(answers))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
