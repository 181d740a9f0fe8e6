"""The measurements that several scenes take of a system that runs."""

import json
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus

from . import wrk
from .requesting import Client, Request
from .statistics import percentile
from .systems.system import Live


@dataclass(frozen=True)
class Flow:
    """Jobs that were dispatched and have ended: rates per second, and the numbers.

    ``accepted`` is what the client counted, ``finished`` what has ended; a client that stops at its time does not
    count answers that are on their way, so ``finished`` may be more, by one for each connection.
    """

    dispatch: float
    done: float
    accepted: int
    finished: int
    refused: int
    broken: int


def dispatch_for(live: Live, seconds: float, connections: int, drain: float = 240) -> Flow:
    """Dispatch one job per request for that time, while the workers work, and wait until all have ended.

    Raises ``TimeoutError`` when any that was accepted does not end, ``AssertionError`` when more end than were sent.
    """
    before, begun = live.finished(), time.monotonic()
    load = wrk.run(live.url, live.system.dispatch, seconds, live.folder, connections)
    ended = live.drain(before + load.accepted, drain)
    finished = live.finished() - before
    assert finished <= load.requests + connections, f"{finished} jobs have ended, of {load.requests} that were sent"
    return Flow(load.rate, finished / (ended - begun), load.accepted, finished, load.refused, load.broken)


def latencies(live: Live, jobs: int) -> tuple[float, float]:
    """p50 and p95 in milliseconds, from the dispatch of a job until it is seen done by polling; one after the other."""
    taken: list[float] = []
    with Client(live.url) as client:
        for _ in range(jobs):
            begun = time.perf_counter()
            job = live.system.job(client.ask(live.system.dispatch))
            client.poll(live.system.status(job), live.system.done)
            taken.append((time.perf_counter() - begun) * 1e3)
    return percentile(taken, 50), percentile(taken, 95)


def one_status(live: Live) -> Request:
    """What asks for the status of a job that has ended."""
    with Client(live.url) as client:
        request = live.system.status(live.system.job(client.ask(live.system.dispatch)))
        client.poll(request, live.system.done)
    return request


def status_rate(live: Live, request: Request, seconds: float, connections: int) -> float:
    """Answers per second."""
    load = wrk.run(live.url, request, seconds, live.folder, connections)
    assert not load.refused, f"{load.refused} of {load.requests} requests for a status were refused"
    return load.rate


def conditional(live: Live, request: Request) -> Request:
    """The same request with the ``ETag`` of its answer, so that the answer is 304."""
    with Client(live.url) as client:
        again = Request(request.path, headers={"If-None-Match": client.ask(request).headers["etag"]})
        status = client.send(again).status
        assert status == HTTPStatus.NOT_MODIFIED, f"a status that did not change was answered {status}"
    return again


def waited(live: Live, jobs: int, seconds: int = 10) -> tuple[float, float]:
    """As ``latencies``, but the dispatch itself waits and answers with the result (Pacifica Dispatcher only)."""
    path = f"{live.system.dispatch.path}?wait={seconds}"
    request = Request(path, headers={"Accept": "application/json"})
    taken: list[float] = []
    with Client(live.url) as client:
        for _ in range(jobs):
            begun = time.perf_counter()
            answer = client.ask(request)
            taken.append((time.perf_counter() - begun) * 1e3)
            assert live.system.done(answer), f"a job was not done within {seconds} s"
    return percentile(taken, 50), percentile(taken, 95)


def batches(live: Live, size: int, number: int, drain: float = 240) -> tuple[float, float]:
    """Jobs accepted and done end to end per second, when so many come in each request (Pacifica Dispatcher only).

    Two connections send; raises ``TimeoutError`` when any job does not end.
    """
    body = json.dumps([{"task": "add", "args": [2, 2]}] * size)
    request = Request("/dispatch", "POST", {"Content-Type": "application/json"}, body)
    before, begun = live.finished(), time.monotonic()
    accepted = size * number / in_parallel(live, [request] * number)
    ended = live.drain(before + size * number, drain)
    finished = live.finished() - before
    assert finished == size * number, f"{finished} jobs have ended, of {size * number} that were sent"
    return accepted, finished / (ended - begun)


def in_parallel(live: Live, requests: list[Request], connections: int = 2) -> float:
    """Send these, each once, over so many connections; the seconds until the last answer. Each must succeed."""
    waiting, failed = list(reversed(requests)), list[BaseException]()

    def send() -> None:
        try:
            with Client(live.url, timeout=120) as client:
                while waiting:
                    client.ask(waiting.pop())
        except Exception as error:  # noqa: BLE001 - raised below, where it is waited for
            failed.append(error)

    threads = [threading.Thread(target=send) for _ in range(connections)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return time.monotonic() - begun
