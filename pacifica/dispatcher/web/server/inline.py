"""Answers brief requests in the thread of a server's event loop, which never blocks on them (decision 10).

Each request runs in a greenlet: while it waits for a commit, the loop runs others, and resumes it in a later round.
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

from ...core.pausing import this_thread

logger = logging.getLogger(__name__)
Value = TypeVar("Value")

LONG = 0.25
"""Seconds for which a request, or a round of them, may occupy the loop; after a longer one, only threads answer."""
WARY = 20
"""After such a request, only threads answer for this multiple of its duration."""
THREADS = 8
"""The number of threads for calls that block, on which the loop cannot wait."""

Call = Callable[[], object]


class Inline:
    """The requests that one loop answers, and their ``pausing.Host``.

    ``keep`` saves the thread's state when a request pauses; the function it returns restores the state on resumption.
    Only the loop's thread may call ``go_round``.
    """

    def __init__(self, selector: BaseSelector, keep: Callable[[], Call]) -> None:
        self._keep = keep
        self._loop = getcurrent()
        self._thread = threading.get_ident()
        self._new: deque[Call] = deque()
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
        """Whether the loop may answer brief requests now."""
        return time.monotonic() >= self._wary

    def is_busy(self) -> bool:
        """Whether a request is waiting or running."""
        return self._paused > 0 or bool(self._new)

    def answer(self, call: Call) -> None:
        """Answer the request in this round; callable from any thread."""
        self._new.append(call)
        if threading.get_ident() != self._thread:
            self._call()

    def go_round(self) -> None:
        """Resume the requests that have stopped waiting, and start new ones; called in each round of the loop."""
        if not (self._new or self._awake):
            return
        self._loop, self._thread = getcurrent(), threading.get_ident()
        self._in_round = True
        try:
            for _ in range(len(self._awake)):
                self._run(self._awake.popleft())
            end = time.monotonic() + LONG
            # Requests that these enqueue, such as the next one of a pipelining client, run in a later round.
            for _ in range(len(self._new)):
                self._run(greenlet(self._new.popleft(), self._loop))
                if time.monotonic() > end:
                    break
        finally:
            self._in_round = False
            self._give_aside()
        if self._new:
            self._call()

    def pause(self, begin: Callable[[Call], object]) -> None:
        """Implements ``pausing.Host``."""
        own, go_back = getcurrent(), self._keep()
        begin(lambda: self._go_on(own))
        self._paused += 1
        self._loop.switch()
        self._paused -= 1
        this_thread.host = self
        go_back()

    def run_in_thread(self, call: Callable[[], Value]) -> Value:
        """Implements ``pausing.Host``."""
        context = copy_context()
        future = self._elsewhere.submit(context.run, call)
        self.pause(lambda go_on: future.add_done_callback(lambda _: go_on()))
        return future.result()

    def run_after_round(self, call: Call) -> None:
        """Implements ``pausing.Host``."""
        self._aside.append(call)
        if not self._in_round:
            self._give_aside()

    def close(self) -> None:
        """End the other threads, unless a request still waits for them."""
        if not self.is_busy():
            self._beside.end()
        self._elsewhere.shutdown(wait=False)
        self._mouth.close()
        self._ear.close()

    def _run(self, one: greenlet) -> None:
        begin = time.monotonic()
        this_thread.host = self
        try:
            one.switch()
        except Exception:
            logger.exception("Unhandled exception while answering a request.")
        finally:
            this_thread.host = None
        if (took := time.monotonic() - begin) > LONG:
            self._wary = begin + took + WARY * took

    def _go_on(self, one: greenlet) -> None:
        """Schedule a paused request; callable from any thread."""
        self._awake.append(one)
        self._call()

    def _give_aside(self) -> None:
        while self._aside:
            with suppress(IndexError):  # Another thread took it.
                self._beside.carry_out(self._aside.popleft())

    def _call(self) -> None:
        if not self._called:
            self._called = True
            with suppress(OSError):  # The pipe is full of wake-ups, or closed.
                self._mouth.send(b"\0")

    def _hear(self, _: object) -> None:
        with suppress(OSError):
            self._ear.recv(64)
        self._called = False


class Beside:
    """A thread beside the loop that runs calls in order."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="beside", daemon=True).start()

    def carry_out(self, call: Call) -> None:
        """Run the call after earlier ones; it must not raise."""
        self._calls.put(call)

    def end(self) -> None:
        """Run no further calls."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
