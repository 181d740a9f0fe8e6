"""Interruptions of an ``async def`` task, which Celery raises in the thread by a signal."""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from pacifica.dispatcher.worker.async_body import plain_function


@pytest.fixture
def interrupt() -> Iterator[None]:
    """Raise ``SoftTimeLimitExceeded`` in 50 ms, as billiard's handler does in a pool's process."""

    def exceed(*_: Any) -> None:
        raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGALRM, exceed)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def spin() -> None:
    """Compute for long."""
    time.sleep(30)


@pytest.mark.usefixtures("interrupt")
@pytest.mark.parametrize("busy", [False, True])
def test_soft_time_limit_cancels_a_coroutine_which_cleans_up(busy: bool) -> None:
    cleaned = []

    async def wait() -> None:
        try:
            if busy:
                asyncio.get_running_loop().call_soon(spin)  # In a callback, asyncio catches what is raised.
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(SoftTimeLimitExceeded):
        plain_function(wait)()
    assert cleaned == [True]


@pytest.mark.usefixtures("interrupt")
def test_coroutine_that_computes_catches_its_soft_time_limit() -> None:
    async def compute() -> str:
        try:
            spin()
        except SoftTimeLimitExceeded:
            return "partial"
        return "whole"

    assert plain_function(compute)() == "partial"


def test_threads_run_coroutines_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)

    async def meet() -> int:
        return await asyncio.to_thread(both.wait)

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(plain_function(meet)())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1]
