"""``up``: web server and worker on this machine, with nothing installed beside."""

import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from ...config.load import load_settings
from ...config.settings import Settings
from ...container import Container
from ...core import strict_json
from ...core.errors import DispatcherError
from ..database_options import config_option
from ..exit_codes import Failed
from ..processes import Child, start

READY = 60.0
"""Seconds that server, worker and canary may take together."""
POLL = 0.05
"""Seconds between two looks at what is not ready yet."""


class NotReadyError(Failed):
    """Something ended, or took too long, before the canary was back."""


@click.command()
@config_option
@click.option("-a", "--address", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("-p", "--port", type=click.IntRange(1, 65535), default=8050, show_default=True, help="The port.")
@click.option("-w", "--workers", type=click.IntRange(1, 1024), default=2, show_default=True, help="Worker processes.")
@click.option(
    "--broker",
    default="database://",
    show_default=True,
    help="The broker's URL; by default the database is the broker.",
)
def up(config: Path | None, address: str, port: int, workers: int, broker: str) -> None:
    """Start web server and worker on this machine, and try them.

    It says when a job has gone all the way round.

    No broker and no database server are needed: the record is the database of the configuration (by
    default an SQLite file in the working directory), and it carries the messages, too. Ctrl-C ends both.
    """
    console = Console(stderr=True, highlight=False)
    environ = {name: value for name, value in os.environ.items() if name != "CELERY_BROKER_URL"}
    environ["BROKER_URL"] = broker
    settings = load_settings(config, environ)
    _free(address, port)
    if config is not None:
        environ["DISPATCHER_CONFIG"] = str(config.absolute())
    base = f"http://{address}:{port}"
    with _until_told_to_stop() as told, _children(console, environ, address, port, workers) as children:
        try:
            with _let_in(settings) as headers:
                seconds = _canary(base, headers, children, told)
        except (NotReadyError, DispatcherError):
            if told():
                return
            for child in children:
                child.release()
            raise
        _welcome(console, base, broker, seconds)
        for child in children:
            child.forget()
        _watch(children, told)


def _free(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise NotReadyError(
                f"Nothing can listen at {address}:{port} ({error.strerror}); choose another port with -p."
            ) from error


@contextmanager
def _children(
    console: Console, environ: dict[str, str], address: str, port: int, workers: int
) -> Iterator[list[Child]]:
    """The two processes; at the end each is asked to stop, the worker last, and waited for."""
    pool = ["--pool", "solo"] if sys.platform == "win32" else ["--concurrency", str(workers)]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    web = start("web", ["pacifica.dispatcher", "-a", address, "-p", str(port)], environ, console)
    worker = start(
        "worker",
        ["celery", "-q", "-A", "pacifica.dispatcher.tasks", "worker", "-l", "info", *quiet, *pool],
        environ,
        console,
    )
    children = [web, worker]
    try:
        yield children
    finally:
        console.print(Text("Stopping: running jobs may finish; Ctrl-C again ends them.", style="dim"))
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.wait()


@contextmanager
def _until_told_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM has come; a second one interrupts the waiting for the children."""
    told: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if told:
            raise KeyboardInterrupt
        told.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(told)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _let_in(settings: Settings) -> Iterator[Mapping[str, str]]:
    """The header that lets the canary in: where everybody needs a token, one that lives as long as it flies."""
    if settings.auth.anonymous != "none":
        yield {}
        return
    container = Container(lambda: settings)
    with closing(container.database):
        container.prepare()
        text, made = container.tokens.create("up", ["read:add", "dispatch:add"], lifetime=2 * READY)
        try:
            yield {"Authorization": f"Bearer {text}"}
        finally:
            container.tokens.revoke(made.id)


def _canary(base: str, headers: Mapping[str, str], children: list[Child], told: Callable[[], bool]) -> float:
    """Send one job all the way round; the seconds that it took. Raises ``NotReadyError``."""
    end = time.monotonic() + READY
    _until(lambda: _answer("GET", f"{base}/health/live", headers), end, children, told)
    began = time.monotonic()
    job: dict[str, Any] = _until(
        lambda: _answer("POST", f"{base}/dispatch/add", headers, {"args": [2, 2]}), end, children, told
    )

    def done() -> dict[str, Any] | None:
        seen = _answer("GET", f"{base}/status/{job['uuid']}", headers)
        return seen if seen and seen["state"] in ("SUCCESS", "FAILURE", "REVOKED") else None

    seen = _until(done, end, children, told)
    if (seen["state"], seen["result"]) != ("SUCCESS", 4):
        raise NotReadyError(f"The canary job {job['uuid']} ended as {seen['state']}: {seen['error']}")
    return time.monotonic() - began


def _until(fact: Callable[[], Any], end: float, children: list[Child], told: Callable[[], bool]) -> Any:
    while not (value := fact()):
        ended = next((child for child in children if child.ended()), None)
        if ended is not None:
            raise NotReadyError(f"The {ended.name} process ended before it was ready.")
        if told():
            raise NotReadyError("It was told to stop.")
        if time.monotonic() > end:
            raise NotReadyError(f"Nothing was ready within {READY:g} seconds.")
        time.sleep(POLL)
    return value


def _answer(method: str, url: str, headers: Mapping[str, str], body: Any = None) -> dict[str, Any] | None:
    """The JSON of a good answer; ``None`` while there is none."""
    data = None if body is None else strict_json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, data, sent, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the URL is ours
            found: dict[str, Any] = strict_json.loads(answer.read())
    except OSError:
        return None
    return found


def _welcome(console: Console, base: str, broker: str, seconds: float) -> None:
    scheme = broker.split(":", 1)[0]
    carried = "the database carries the messages" if scheme == "database" else f"{scheme} carries the messages"
    console.print(
        Text.assemble(
            ("Pacifica Dispatcher is ready", "bold green"),
            f" at {base}; {carried}.\n"
            f"A canary job went from HTTP through the worker into the record in {seconds * 1000:.0f} ms.\n\n"
            "Try it in another terminal:\n\n",
            (f"  UUID=$(curl -s {base}/dispatch/add/2/2)\n  curl {base}/status/$UUID\n\n", "bold"),
            ("Ctrl-C ends server and worker.", "dim"),
        ),
        soft_wrap=True,
    )


def _watch(children: list[Child], told: Callable[[], bool]) -> None:
    """Return when told to stop; raises ``Failed`` when a process ends by itself."""
    while not told():
        for child in children:
            if child.ended():
                raise Failed(f"The {child.name} process ended by itself.")
        time.sleep(POLL)
