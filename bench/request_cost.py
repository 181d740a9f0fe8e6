"""``python -m bench.request_cost``: the processor time of one request, in process and served, on the embedded default.

In process: the WSGI application is called directly, without a server, and each dispatch has a commit of its own.
Served: the embedded server under wrk with 16 connections; without a worker, so that nothing else writes.
"""

import io
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import wrk
from .processes import family, processor_seconds
from .requesting import Client, Request
from .servers import Servers
from .systems.pacifica import PacificaEmbedded
from .systems.system import prepared

CALLS, ROUNDS, SECONDS = 1000, 7, 4.0
LIVE, DISPATCH = "/health/live", "/dispatch/add/2/2"


class Embedded(PacificaEmbedded):
    """This checkout, from the environment in which the benchmark runs."""

    environment = Path(sys.prefix) / "bin"


def main() -> int:
    """Print the figures in microseconds of a core per request, the least of all rounds first."""
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        in_process(Path(folder))
    if reason := wrk.missing():
        sys.stdout.write(f"served: not measured, as {reason}\n")
        return 1
    served()
    return 0


def in_process(folder: Path) -> None:
    """Call the application for each kind of request, with the lines of its log going to a file."""
    os.chdir(folder)
    os.environ |= {"PEEWEE_URL": "sqliteext:///db.sqlite3", "BROKER_URL": "database://"}
    (folder / "config.ini").write_text("")
    sys.stderr = (folder / "web.log").open("w", buffering=1)
    try:
        application = _application()
        job = _call(application, DISPATCH)
        for path in (LIVE, f"/status/{job}", DISPATCH):
            costs = sorted(_cost(lambda path=path: _call(application, path)) for _ in range(ROUNDS))  # type: ignore[misc]
            _print("in process", path.replace(job, "<uuid>"), costs)
    finally:
        sys.stderr = sys.__stderr__


def served() -> None:
    """Start the embedded server, and send it each kind of request."""
    with (
        TemporaryDirectory(prefix="bench-") as folder,
        Servers(Path(folder)) as servers,
        prepared(Embedded(), servers) as running,
    ):
        web = running.start_web()
        running.wait_for_web()
        with Client(running.url) as client:
            job = client.ask(Request(DISPATCH)).body.decode()
        for path in (LIVE, f"/status/{job}", DISPATCH):
            costs, rates = [], []
            for _ in range(ROUNDS // 2 + 1):
                before = processor_seconds(family([web.popen.pid]))
                load = wrk.run(running.url, Request(path), SECONDS, running.folder)
                costs.append((processor_seconds(family([web.popen.pid])) - before) * 1e6 / load.accepted)
                rates.append(load.rate)
            _print("served", path.replace(job, "<uuid>"), sorted(costs), f" {statistics.median(rates):7,.0f}/s")


def _application() -> Any:
    """The application of the web process, as it serves, but with no thread that publishes."""
    from pacifica.dispatcher.config.load import load_settings
    from pacifica.dispatcher.web_process import WebProcess

    web = WebProcess(load_settings)
    web.count_events()
    return web.tree


def _call(application: Any, path: str) -> str:
    environ = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": path,
        "REQUEST_URI": path,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8050",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "54321",
        "HTTP_HOST": "127.0.0.1:8050",
        "wsgi.input": io.BytesIO(b""),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.version": (1, 0),
    }
    answered = []
    parts = application(environ, lambda status, headers, *_: answered.append(status))
    body = b"".join(parts)
    parts.close()
    assert answered[0].startswith("200"), (answered, body)
    return body.decode()


def _cost(call: Callable[[], object]) -> float:
    begin = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - begin) * 1e6 / CALLS


def _print(how: str, path: str, costs: list[float], more: str = "") -> None:
    sys.stdout.write(f"{how:<11} {path:<18} least {costs[0]:6.0f} median {statistics.median(costs):6.0f} µs{more}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
