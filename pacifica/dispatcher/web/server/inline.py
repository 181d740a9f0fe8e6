"""Answers brief requests in the thread of a server's own loop, which waits for none of them (decision 10).

Each has a greenlet: one that waits for a commit is left for the next, and goes on in a later round.
"""

import logging
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from selectors import EVENT_READ, BaseSelector
from typing import TypeVar

from greenlet import getcurrent, greenlet

from ...core.pausing import here

logger = logging.getLogger(__name__)
Value = TypeVar("Value")

LONG = 0.25
"""Seconds that a request, or a round of them, may have the loop; after a longer one, threads answer all."""
WARY = 20
"""For so many times as long as it took."""
THREADS = 8
"""How many requests may wait in threads of their own, for what the loop cannot wait for."""

Call = Callable[[], object]


class Inline:
    """The requests that one loop answers; a ``pausing.Host`` to each of them.

    ``keep`` is called when one pauses, and what it returned when that one goes on: for what the thread holds for it.
    ``go_round`` is for the loop's thread.
    """

    def __init__(self, selector: BaseSelector, keep: Callable[[], Call]) -> None:
        self._keep = keep
        self._loop = getcurrent()
        self._thread = threading.get_ident()
        self._asked: deque[Call] = deque()
        self._awake: deque[greenlet] = deque()
        self._aside: deque[Call] = deque()
        self._in_round = False
        self._called = False
        self._wary = float("-inf")
        self._paused = 0
        self._beside = Beside()
        self._elsewhere = ThreadPoolExecutor(THREADS, thread_name_prefix="elsewhere")
        self._ear, self._mouth = socket.socketpair()
        self._ear.settimeout(0)
        self._mouth.settimeout(0)
        selector.register(self._ear, EVENT_READ, self._hear)

    def has_time(self) -> bool:
        """Whether brief requests may be answered here now."""
        return time.monotonic() >= self._wary

    def is_busy(self) -> bool:
        """Whether a request has begun that has not ended."""
        return self._paused > 0 or bool(self._asked)

    def answer(self, call: Call) -> None:
        """Have the request be answered in this round; any thread may ask."""
        self._asked.append(call)
        if threading.get_ident() != self._thread:
            self._call()

    def go_round(self) -> None:
        """Begin what was asked for, and go on with what need not wait any more; to be called in each round."""
        if not (self._asked or self._awake):
            return
        self._loop, self._thread = getcurrent(), threading.get_ident()
        self._in_round = True
        try:
            for _ in range(len(self._awake)):
                self._run(self._awake.popleft())
            end = time.monotonic() + LONG
            # What these ask for, such as the next request of a client that sends several at once, has its turn later.
            for _ in range(len(self._asked)):
                self._run(greenlet(self._asked.popleft(), self._loop))
                if time.monotonic() > end:
                    break
        finally:
            self._in_round = False
            self._give_aside()
        if self._asked:
            self._call()

    def pause(self, begin: Callable[[Call], object]) -> None:
        """As ``pausing.Host``."""
        own, go_back = getcurrent(), self._keep()
        begin(lambda: self._go_on(own))
        self._paused += 1
        self._loop.switch()
        self._paused -= 1
        here.host = self
        go_back()

    def elsewhere(self, call: Callable[[], Value]) -> Value:
        """As ``pausing.Host``."""
        context = copy_context()
        future = self._elsewhere.submit(context.run, call)
        self.pause(lambda go_on: future.add_done_callback(lambda _: go_on()))
        return future.result()

    def aside(self, call: Call) -> None:
        """As ``pausing.Host``."""
        self._aside.append(call)
        if not self._in_round:
            self._give_aside()

    def close(self) -> None:
        """End the other threads, unless somebody waits for them still."""
        if not self.is_busy():
            self._beside.end()
        self._elsewhere.shutdown(wait=False)
        self._mouth.close()
        self._ear.close()

    def _run(self, one: greenlet) -> None:
        begin = time.monotonic()
        here.host = self
        try:
            one.switch()
        except Exception:
            logger.exception("A request was not answered.")
        finally:
            here.host = None
        if (took := time.monotonic() - begin) > LONG:
            self._wary = begin + took + WARY * took

    def _go_on(self, one: greenlet) -> None:
        """Any thread may say so."""
        self._awake.append(one)
        self._call()

    def _give_aside(self) -> None:
        while self._aside:
            with suppress(IndexError):  # Another thread was faster.
                self._beside.carry_out(self._aside.popleft())

    def _call(self) -> None:
        """Have the loop go round."""
        if not self._called:
            self._called = True
            with suppress(OSError):  # It is full of calls, or closed.
                self._mouth.send(b"\0")

    def _hear(self, _: object) -> None:
        with suppress(OSError):
            self._ear.recv(64)
        self._called = False


class Beside:
    """A thread beside the loop."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="beside", daemon=True).start()

    def carry_out(self, call: Call) -> None:
        """Call it after those before; it must not raise."""
        self._calls.put(call)

    def end(self) -> None:
        """Begin nothing more."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
