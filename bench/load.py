"""The measurements that several scenes take of a running system."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus

from . import wrk
from .requesting import Client, Request
from .statistics import percentile
from .systems.system import Running

JSON = {"Content-Type": "application/json"}
DRAIN = 240.0
"""Seconds in which all jobs must have ended."""


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


def waiting_latencies(running: Running, jobs: int, pause: float = 0) -> tuple[float, float]:
    """Return the same for dispatches that wait for the result; the service is idle for ``pause`` before each."""
    request = Request(f"{running.system.dispatch.path}?wait=10", headers={"Accept": "application/json"})
    times: list[float] = []
    with Client(running.url) as client:
        for _ in range(jobs):
            time.sleep(pause)
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


def batch(jobs: int) -> Request:
    """Return a request that dispatches so many jobs (Pacifica Dispatcher only)."""
    return Request("/dispatch", "POST", JSON, json.dumps([{"task": "add", "args": [2, 2]}] * jobs))


def send(running: Running, jobs: int, size: int = 1000) -> None:
    """Dispatch so many jobs, in batches of that size."""
    with Client(running.url, timeout=120) as client:
        for first in range(0, jobs, size):
            client.ask(batch(min(size, jobs - first)))


def batches(running: Running, size: int, number: int) -> tuple[float, float]:
    """Return the jobs accepted and done per second; two connections send so many batches of that size."""
    before, begin = running.finished(), time.monotonic()
    local, request = threading.local(), batch(size)

    def send(_: int) -> None:
        if not hasattr(local, "client"):
            local.client = Client(running.url, timeout=120)
        local.client.ask(request)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(send, range(number)))
    accepted = size * number / (time.monotonic() - begin)
    end = running.drain(before + size * number, DRAIN)
    finished = running.finished() - before
    assert finished == size * number, f"{finished} jobs have ended, but {size * number} were sent"
    return accepted, finished / (end - begin)
