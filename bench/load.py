"""The measurements that the scenes take of a running system."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from . import wrk
from .processes import processor_seconds
from .requesting import Client, Request
from .statistics import percentile
from .systems.pacifica import PacificaEmbedded
from .systems.system import Running

DRAIN = 240.0
"""Seconds in which all jobs must have ended."""
ENOUGH = 20.0
"""Seconds of a backlog that a slow system works off."""
CLIENTS = 4
"""Connections that fill a backlog."""


@dataclass(frozen=True)
class Flow:
    """Jobs that were dispatched and have ended: two rates per second, and their numbers.

    ``accepted`` is the client's count, ``finished`` the store's. The client stops at its time without waiting for the
    answers on their way, so ``finished`` may be larger, by one per connection.
    """

    dispatch: float
    done: float
    accepted: int
    finished: int
    refused: int
    broken: int


def dispatch_for(running: Running, seconds: float, connections: int) -> Flow:
    """Dispatch one job per request for that time while the workers work, and wait until all have ended.

    Raises ``TimeoutError`` if an accepted job does not end, ``AssertionError`` if more jobs end than were sent.
    """
    before, begin = running.finished(), time.monotonic()
    load = wrk.run(running.url, running.system.dispatch, seconds, running.folder, connections)
    end = running.drain(before + load.accepted, DRAIN)
    finished = running.finished() - before
    assert finished <= load.requests + connections, f"{finished} jobs have ended, but {load.requests} were sent"
    return Flow(load.rate, finished / (end - begin), load.accepted, finished, load.refused, load.broken)


def latencies(running: Running, jobs: int) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds from a dispatch until polling shows the result; one job after the other."""
    times: list[float] = []
    with Client(running.url) as client:
        for _ in range(jobs):
            begin = time.perf_counter()
            job = running.system.job(client.ask(running.system.dispatch))
            client.poll(running.system.status(job), running.system.done)
            times.append((time.perf_counter() - begin) * 1e3)
    return percentile(times, 50), percentile(times, 95)


def waiting_latencies(running: Running, jobs: int) -> tuple[float, float]:
    """Return the same for dispatches that wait for the result."""
    request = running.system.waiting
    assert request is not None, "this system has no request that waits"
    times: list[float] = []
    with Client(running.url) as client:
        for _ in range(jobs):
            answer, milliseconds = client.timed(request)
            times.append(milliseconds)
            assert running.system.done(answer), "a job was not done within 10 s"
    return percentile(times, 50), percentile(times, 95)


def finished_job(running: Running) -> Request:
    """Return the request for the status of a job that has ended."""
    with Client(running.url) as client:
        request = running.system.status(running.system.job(client.ask(running.system.dispatch)))
        client.poll(request, running.system.done)
    return request


def rate(running: Running, request: Request, seconds: float, connections: int, paths: tuple[str, ...] = ()) -> float:
    """Return the answers per second; raises ``AssertionError`` if one is refused."""
    load = wrk.run(running.url, request, seconds, running.folder, connections, paths)
    assert not load.refused, f"{load.refused} of {load.requests} requests were refused"
    return load.rate


def conditional(running: Running, request: Request) -> Request:
    """Return the same request with the ``ETag`` of its answer, so that the answer is 304."""
    with Client(running.url) as client:
        again = Request(request.path, headers={"If-None-Match": client.ask(request).headers["etag"]})
        status = client.send(again).status
        assert status == HTTPStatus.NOT_MODIFIED, f"an unchanged status was answered with {status}"
    return again


def backlog(running: Running, jobs: int) -> float:
    """Return the jobs done per second of a backlog, which waits when the two worker processes start.

    The time begins when the first job is seen done, so that the start of the worker does not count, and ends with the
    last one, or after ``ENOUGH``.
    """
    running.processes.stop(*running.workers())
    before = running.finished()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: _send(running, running.system.dispatch, jobs // CLIENTS), range(CLIENTS)))
    begin = time.monotonic()
    running.start_workers()
    running.wait(lambda: running.finished() > before, "no job of the backlog ended")
    first = running.finished() - before
    begin, first = (begin, 0) if first == jobs else (time.monotonic(), first)
    running.wait(
        lambda: running.finished() >= before + jobs or time.monotonic() > begin + ENOUGH, "the backlog was not done"
    )
    return (running.finished() - before - first) / (time.monotonic() - begin)


def batches(running: Running, system: PacificaEmbedded, size: int, number: int) -> tuple[float, float]:
    """Return the jobs accepted and done per second; two connections send so many batches of that size."""
    before, begin = running.finished(), time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda part: _send(running, system.batch(size), part), (number - number // 2, number // 2)))
    accepted = size * number / (time.monotonic() - begin)
    end = running.drain(before + size * number, DRAIN)
    finished = running.finished() - before
    assert finished == size * number, f"{finished} jobs have ended, but {size * number} were sent"
    return accepted, finished / (end - begin)


def idle_share(running: Running, seconds: float) -> float:
    """Return the percentage of a core that all processes of an idle system use."""
    before, begin = processor_seconds(running.processes.pids()), time.monotonic()
    time.sleep(seconds)
    return (processor_seconds(running.processes.pids()) - before) / (time.monotonic() - begin) * 100


def write_lock_share(database: Path, seconds: float) -> float:
    """Return at how many percent of the looks SQLite's write lock was held, which is byte 120 of the -shm file."""
    inode = Path(f"{database}-shm").stat().st_ino
    held = re.compile(rf"WRITE +\d+ [0-9a-f:]+:{inode} 120 ")
    found, stopped = [], threading.Event()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found.append(bool(held.search(Path("/proc/locks").read_text("ascii"))))
        stopped.wait(0.0005)
    return sum(found) / len(found) * 100


def _send(running: Running, request: Request, times: int) -> None:
    with Client(running.url, timeout=120) as client:
        for _ in range(times):
            client.ask(request)
