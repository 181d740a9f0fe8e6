"""``up``: a web server and a worker on this machine, without any other server."""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import click
from rich.console import Console

from ...client import ClientError, DispatcherClient, State
from ...client.retries import NEVER
from ...client.values import Readiness
from ...config.load import find_sources, load_settings
from ...config.settings import Settings
from ...container import Container
from ...core.errors import DispatcherError
from ...core.redaction import mask_passwords
from ...worker.signals import ALL_QUEUES
from ..database_options import config_option
from ..exit_codes import CommandFailed
from ..module_watch import ModuleWatch
from ..processes import Child, start, stop, stop_requests
from ..reloading import Reloading
from ..welcome import Started, show_welcome

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
@click.option("--reload", is_flag=True, help="Start again when a task module or the configuration has changed.")
@click.option("-v", "--verbose", is_flag=True, help="Show every log line, not only warnings and the end of each job.")
def up(  # noqa: PLR0913 - each is an option
    *, config: Path | None, address: str, port: int, workers: int, broker: str, reload: bool, verbose: bool
) -> None:
    """Start a web server and a worker here, and test them.

    It reports when a probe job has passed through all stages.

    No broker server and no database server are needed: the database of the configuration (by default an SQLite file
    in the working directory) keeps the jobs and is also the broker. The worker serves the queues of all tasks. Ctrl-C
    stops both processes when running jobs have finished; a second Ctrl-C puts these jobs back. Without this process,
    the others end as well.

    With --reload, both start again when a task module changes: running jobs finish with the old code, and a module
    that cannot be imported is named and not used.
    """
    console = Console(stderr=True, highlight=False)
    environ = {name: value for name, value in os.environ.items() if name != "CELERY_BROKER_URL"}
    environ["BROKER_URL"] = broker
    sources = find_sources(config, environ)
    settings = sources.settings()
    _check_port(address, port)
    if config is not None:
        environ["DISPATCHER_CONFIG"] = str(config.absolute())
    url = f"http://{address}:{port}"
    plan = Plan(console, environ, address, port, workers, verbose)
    watch = ModuleWatch(settings.dispatcher.tasks, [sources.path.absolute()] if sources.path else [])
    with stop_requests(console) as stopping, _children(plan) as children:
        try:
            with _probe_token(settings) as token:
                seconds, tasks = _probe(url, token, children, stopping)
        except (NotReadyError, DispatcherError):
            if stopping():
                return
            for child in children:
                child.release()
            raise
        configured = _other_broker(config, broker)
        show_welcome(console, Started(url, sources.path, settings, broker, configured, tasks, seconds))
        _settle(children)
        restart = partial(_restart, plan, children) if reload else None
        reloading = Reloading(watch, console, environ, restart)
        _watch(children, stopping, reloading)


def _check_port(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise NotReadyError(
                f"Cannot listen on {address}:{port} ({error.strerror}); choose another port with -p."
            ) from error


class Plan(NamedTuple):
    """How the two processes are started."""

    console: Console
    environ: dict[str, str]
    address: str
    port: int
    workers: int
    verbose: bool

    def web(self) -> Child:
        """Start the web server."""
        arguments = ["pacifica.dispatcher", "-a", self.address, "-p", str(self.port)]
        return start("web", arguments, self.environ, self.console, verbose=self.verbose)

    def worker(self, *more: str) -> Child:
        """Start the worker."""
        pool = ["--pool", "solo"] if sys.platform == "win32" else ["--concurrency", str(self.workers)]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        arguments = ["celery", "-q", "-A", "pacifica.dispatcher.tasks", "worker", "-l", "info", *quiet, *pool, *more]
        return start("worker", arguments, self.environ | {ALL_QUEUES: "yes"}, self.console, verbose=self.verbose)


@contextmanager
def _children(plan: Plan) -> Iterator[list[Child]]:
    """The two processes; at the end both are asked to stop, and waited for."""
    children = [plan.web(), plan.worker()]
    try:
        yield children
    finally:
        stop(children, plan.console)


def _restart(plan: Plan, children: list[Child]) -> None:
    """Replace both processes. The old worker ends when its jobs have finished; two workers need two names."""
    old = [child for child in children if not child.retired]
    for child in old:
        child.retire()
    for child in old:
        if child.name == "web":  # The new one needs its port.
            if not child.wait():
                child.kill()
            children.remove(child)
    children += [plan.web(), plan.worker("-n", f"celery-{time.time_ns() // 1_000_000}@%h")]
    _settle(children)


def _settle(children: Sequence[Child]) -> None:
    known: set[str] = set()
    for child in children:
        child.settle(known)


@contextmanager
def _probe_token(settings: Settings) -> Iterator[str]:
    """The token of the probe job, revoked afterwards; ``ANONYMOUS`` if the service needs none."""
    if settings.auth.anonymous != "none":
        yield ANONYMOUS
        return
    container = Container(lambda: settings)
    with closing(container.database):
        container.prepare()
        text, created = container.tokens.create("up", ["read", "dispatch:add"], lifetime=2 * READY)
        try:
            yield text
        finally:
            container.tokens.revoke(created.id)


def _other_broker(config: Path | None, broker: str) -> str | None:
    """The broker of other processes with this configuration, in words, if it is not this one."""
    settings = load_settings(config)
    if settings.dispatcher.adopt and not settings.names_broker:
        return "that of the adopted application" if broker.startswith("database:") else None
    configured = str(settings.celery["broker_url"])
    return f"{mask_passwords(configured)} of the configuration" if configured != broker else None


def _probe(
    url: str, token: str, children: Sequence[Child], stopping: Callable[[], bool]
) -> tuple[float | None, Sequence[str]]:
    """The seconds that a probe job took, and the names of all tasks; raises ``NotReadyError``.

    ``None`` if the job still waits, as the worker is alive and busy with others, such as those of before a restart.
    """

    def pause(seconds: float) -> None:
        _check(children, stopping)
        time.sleep(seconds)

    with DispatcherClient(url, token=token, timeout=10.0, retries=NEVER) as client:
        _retried(lambda: client.connection.send("GET", "/health/live"), pause)
        began = time.monotonic()
        *_, last = _retried(lambda: list(client.probe_job(priority=9, timeout=READY, pause=pause)), pause)
        seconds = time.monotonic() - began
        waits = not last.reached and last.name in {"sent", "started"} and _has_worker(client.ready())
        tasks = [task.name for task in _retried(client.tasks, pause)]
    if waits:
        return None, tasks
    if not last.reached:
        raise NotReadyError(f"The probe job {last.job.uuid} was not {last.name} within {READY:g} seconds.")
    if (last.job.state, last.job.result) != (State.SUCCESS, 4):
        reason = f": {last.job.error.type}: {last.job.error.message}" if last.job.error else ""
        raise NotReadyError(f"The probe job {last.job.uuid} ended as {last.job.state}{reason}.")
    return seconds, tasks


def _has_worker(readiness: Readiness) -> bool:
    """Whether a worker is alive, and the broker gives it jobs."""
    broker, workers = readiness.document["checks"]["broker"], readiness.document["workers"]
    return bool(broker["verdict"] == "ok" and workers["living"])


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


def _watch(children: list[Child], stopping: Callable[[], bool], reloading: Reloading) -> None:
    """Return at a request to stop; raises ``CommandFailed`` when a process ends on its own and no change is awaited."""
    while not stopping():
        for child in [child for child in children if child.ended()]:
            children.remove(child)
            if not child.retired:
                reloading.lost(child.name)
        reloading.look()
        time.sleep(POLL)
