"""``up``: a web server and a worker on this machine, without any other server."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TypeVar

import click
from rich.console import Console
from rich.text import Text

from ...client import ClientError, DispatcherClient, State
from ...client.retries import NEVER
from ...config.load import load_settings
from ...config.settings import Settings
from ...container import Container
from ...core.errors import DispatcherError
from ..database_options import config_option
from ..exit_codes import CommandFailed
from ..processes import Child, start

READY = 60.0
"""Seconds for the server to answer, for it to accept the probe job, and for the job to reach each stage."""
POLL = 0.05
"""Seconds between two looks at the server and the processes."""
ANONYMOUS = " "
"""White space is sent as no token; an empty token would be replaced by ``DISPATCHER_TOKEN``."""
Value = TypeVar("Value")


class NotReadyError(CommandFailed):
    """A process ended, or took too long, before the probe job was done."""


@click.command()
@config_option
@click.option("-a", "--address", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("-p", "--port", type=click.IntRange(1, 65535), default=8050, show_default=True, help="The port.")
@click.option("-w", "--workers", type=click.IntRange(1, 1024), default=2, show_default=True, help="Worker processes.")
@click.option(
    "--broker",
    default="database://",
    show_default=True,
    help="The broker's URL; by default the database is the broker.",
)
def up(config: Path | None, address: str, port: int, workers: int, broker: str) -> None:
    """Start a web server and a worker here, and test them.

    It reports when a probe job has passed through all stages.

    No broker server and no database server are needed: the database of the configuration (by default an SQLite file
    in the working directory) keeps the jobs and is also the broker. Ctrl-C stops both processes.
    """
    console = Console(stderr=True, highlight=False)
    environ = {name: value for name, value in os.environ.items() if name != "CELERY_BROKER_URL"}
    environ["BROKER_URL"] = broker
    settings = load_settings(config, environ)
    _check_port(address, port)
    if config is not None:
        environ["DISPATCHER_CONFIG"] = str(config.absolute())
    url = f"http://{address}:{port}"
    with _stop_requests() as stopping, _children(console, environ, address, port, workers) as children:
        try:
            with _probe_token(settings) as token:
                seconds = _probe(url, token, children, stopping)
        except (NotReadyError, DispatcherError):
            if stopping():
                return
            for child in children:
                child.release()
            raise
        _welcome(console, url, broker, seconds)
        for child in children:
            child.discard()
        _watch(children, stopping)


def _check_port(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise NotReadyError(
                f"Cannot listen on {address}:{port} ({error.strerror}); choose another port with -p."
            ) from error


@contextmanager
def _children(
    console: Console, environ: dict[str, str], address: str, port: int, workers: int
) -> Iterator[Sequence[Child]]:
    """The two processes; at the end both are asked to stop, and waited for."""
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
        console.print(Text("Stopping: running jobs may finish; Ctrl-C again kills them.", style="dim"))
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.wait()


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM has arrived; the second one interrupts the wait for the children."""
    received: list[int] = []

    def record(number: int, _: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, record) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _probe_token(settings: Settings) -> Iterator[str]:
    """The token of the probe job, revoked afterwards; ``ANONYMOUS`` if the service needs none."""
    if settings.auth.anonymous != "none":
        yield ANONYMOUS
        return
    container = Container(lambda: settings)
    with closing(container.database):
        container.prepare()
        text, created = container.tokens.create("up", ["read:add", "dispatch:add"], lifetime=2 * READY)
        try:
            yield text
        finally:
            container.tokens.revoke(created.id)


def _probe(url: str, token: str, children: Sequence[Child], stopping: Callable[[], bool]) -> float:
    """The seconds that a probe job took; raises ``NotReadyError``."""

    def pause(seconds: float) -> None:
        _check(children, stopping)
        time.sleep(seconds)

    with DispatcherClient(url, token=token, timeout=10.0, retries=NEVER) as client:
        _retried(lambda: client.connection.send("GET", "/health/live"), pause)
        began = time.monotonic()
        *_, last = _retried(lambda: list(client.probe_job(timeout=READY, pause=pause)), pause)
        seconds = time.monotonic() - began
    if not last.reached:
        raise NotReadyError(f"The probe job {last.job.uuid} was not {last.name} within {READY:g} seconds.")
    if (last.job.state, last.job.result) != (State.SUCCESS, 4):
        reason = f": {last.job.error.type}: {last.job.error.message}" if last.job.error else ""
        raise NotReadyError(f"The probe job {last.job.uuid} ended as {last.job.state}{reason}.")
    return seconds


def _retried(action: Callable[[], Value], pause: Callable[[float], None]) -> Value:
    """The value of the action as soon as it does not fail; raises ``NotReadyError`` when ``READY`` is over."""
    end = time.monotonic() + READY
    while True:
        try:
            return action()
        except ClientError as error:
            if time.monotonic() > end:
                raise NotReadyError(f"The server was not ready within {READY:g} seconds. {error}") from error
            pause(POLL)


def _check(children: Sequence[Child], stopping: Callable[[], bool]) -> None:
    ended = next((child for child in children if child.ended()), None)
    if ended is not None:
        raise NotReadyError(f"The {ended.name} process ended before it was ready.")
    if stopping():
        raise NotReadyError("It was asked to stop.")


def _welcome(console: Console, url: str, broker: str, seconds: float) -> None:
    scheme = broker.split(":", 1)[0]
    console.print(
        Text.assemble(
            ("Pacifica Dispatcher is ready", "bold green"),
            f" at {url}; the broker is {'the database' if scheme == 'database' else scheme}.\n"
            f"A probe job went from HTTP through the worker to its result in {seconds * 1000:.0f} ms.\n\n"
            "Try it in another terminal:\n\n",
            (f"  UUID=$(curl -s {url}/dispatch/add/2/2)\n  curl {url}/status/$UUID\n\n", "bold"),
            ("Ctrl-C stops the server and the worker.", "dim"),
        ),
        soft_wrap=True,
    )


def _watch(children: Sequence[Child], stopping: Callable[[], bool]) -> None:
    """Return at a request to stop; raises ``CommandFailed`` when a process ends on its own."""
    while not stopping():
        for child in children:
            if child.ended():
                raise CommandFailed(f"The {child.name} process ended unexpectedly.")
        time.sleep(POLL)
