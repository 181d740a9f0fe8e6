"""An event loop that runs requests in greenlets: one that has to wait is paused, and the loop runs others meanwhile.

The code of a request stays plain, blocking code. Where it would block, it calls ``WAITER``.
"""

import heapq
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from itertools import count
from math import inf
from selectors import EVENT_READ, DefaultSelector
from typing import TypeVar

from greenlet import getcurrent, greenlet

from ...core.waiter import Waiter

logger = logging.getLogger(__name__)
Value = TypeVar("Value")
Call = Callable[[], object]

ROUND = 0.02
"""Seconds after which a round of requests is interrupted to look at the sockets: half for new ones, half for others."""
LONG, WARY, LONGEST_WARY = 2.0, 5, 60.0
"""After a request that occupied the loop for ``LONG`` seconds, ``is_wary`` holds for ``WARY`` times as long.

It holds for at most ``WARY`` times ``LONGEST_WARY`` seconds, as a process may only have been frozen.
"""


class RequestGreenlet(greenlet):  # type: ignore[misc]
    """The greenlet of one request; ``away`` is set once a part of the request has run in a thread."""

    away = False

    def __init__(self, loop: "Loop", call: Call) -> None:
        super().__init__(call, loop.hub)
        self.loop = loop


class LoopWaiter(Waiter):
    """Pauses a request that a loop runs; any other code blocks its thread."""

    def on_loop(self) -> bool:
        return isinstance(getcurrent(), RequestGreenlet)

    def wait(self, future: Future[Value], seconds: float | None = None) -> Value:
        current = getcurrent()
        if isinstance(current, RequestGreenlet):
            return current.loop.wait(future, seconds)
        return future.result(seconds)

    def run(self, call: Callable[[], Value], *, heavy: bool = False) -> Value:
        current = getcurrent()
        if not isinstance(current, RequestGreenlet):
            return call()
        current.away = True
        return current.loop.run(call, heavy=heavy)

    def run_if_away(self, call: Callable[[], Value]) -> Value:
        """``call()``, off the loop if the request has left it before: then it may have read a large row."""
        current = getcurrent()
        if not (isinstance(current, RequestGreenlet) and current.away):
            return call()
        return current.loop.run(call, heavy=True, first=True)

    def after_round(self, call: Call) -> None:
        current = getcurrent()
        if isinstance(current, RequestGreenlet):
            current.loop.after_round(call)
        else:
            call()


WAITER = LoopWaiter()


class Pause:
    """A greenlet that waits; ends once."""

    __slots__ = ("_one",)

    def __init__(self, one: RequestGreenlet) -> None:
        self._one: RequestGreenlet | None = one

    @property
    def ended(self) -> bool:
        return self._one is None

    def end(self) -> None:
        one, self._one = self._one, None
        if one is not None:
            one.loop.switch(one)


class Loop:
    """``keep`` saves the state that the current request has in its thread; the function it returns restores it.

    All methods but ``call`` and ``ask`` belong to the thread that runs ``go_round``.
    """

    def __init__(self, keep: Callable[[], Call], threads: int) -> None:
        self.hub = getcurrent()
        self.selector = DefaultSelector()
        self.paused = 0
        self._keep = keep
        self._thread = threading.get_ident()
        self._new: deque[Call] = deque()
        self._calls: deque[Call] = deque()
        self._after: list[Call] = []
        self._timers: list[tuple[float, int, Pause]] = []
        self._numbers = count()
        self._wary_until = -inf
        self.threads = ThreadPoolExecutor(threads, "request")
        self._heavy = ThreadPoolExecutor(1, "heavy")
        self._line: deque[Future[None]] = deque()
        self._is_heavy = False
        self._woken = self._closed = False
        self._ear, self._mouth = socket.socketpair()
        for end in (self._ear, self._mouth):
            end.settimeout(0)
        self.selector.register(self._ear, EVENT_READ, self._hear)

    @property
    def is_wary(self) -> bool:
        """Whether a request has occupied the loop too long, so that threads should answer for a while."""
        return time.monotonic() < self._wary_until

    def call(self, call: Call) -> None:
        """Run the call in the loop's next round; callable from any thread."""
        self._calls.append(call)
        if not self._woken and threading.get_ident() != self._thread:
            self._woken = True
            with suppress(OSError):  # The pipe is full of wake-ups, or closed.
                self._mouth.send(b"\0")

    def start(self, call: Call) -> None:
        """Run the call in a greenlet in the next round."""
        self._new.append(lambda: self.switch(RequestGreenlet(self, call)))

    def ask(self, call: Callable[[], Value]) -> Value:
        """Run the call in a greenlet, and wait for its result; for other threads."""
        future: Future[Value] = Future()

        def answer() -> None:
            try:
                future.set_result(call())
            except Exception as error:  # noqa: BLE001 - the caller raises it
                future.set_exception(error)

        self.call(lambda: self.switch(RequestGreenlet(self, answer)))
        while not self._closed:
            try:
                return future.result(1.0)
            except TimeoutError:
                if future.done():  # The call itself may have raised it, such as for a client that is gone.
                    return future.result()
        raise ConnectionResetError

    def after_round(self, call: Call) -> None:
        """Run the call once all requests that are ready have started."""
        self._after.append(call)

    def go_round(self, longest: float) -> None:
        """Wait for events, at most ``longest`` seconds; handle them, and run what is due."""
        if self._calls or self._new:
            longest = 0
        elif self._timers:
            longest = max(0.0, min(longest, self._timers[0][0] - time.monotonic()))
        for key, mask in self.selector.select(longest):
            key.data(mask)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._calls.append(heapq.heappop(self._timers)[2].end)
        # Calls that these add, such as the next request of a pipelining client, run in a later round.
        for calls in (self._new, self._calls):
            end = time.monotonic() + ROUND / 2
            for _ in range(len(calls)):
                self._attempt(calls.popleft())
                if time.monotonic() > end:
                    break
        after, self._after = self._after, []
        for call in after:
            self._attempt(call)

    @staticmethod
    def _attempt(call: Call) -> None:
        """Run a call whose exception must not end the server."""
        try:
            call()
        except Exception:
            logger.exception("Unhandled exception in the event loop.")

    def switch(self, one: RequestGreenlet) -> None:
        """Run the request until it ends or waits."""
        begin = time.monotonic()
        try:
            one.switch()
        except (Exception, SystemExit):
            logger.exception("Unhandled exception while answering a request.")
        # While a heavy call runs, the loop may only have waited for the interpreter.
        if (took := time.monotonic() - begin) > LONG and not self._is_heavy:
            self._wary_until = begin + took + WARY * min(took, LONGEST_WARY)

    def wait(self, future: Future[Value], seconds: float | None = None) -> Value:
        """Pause the current greenlet until the future is done."""
        if not future.done():
            pause = Pause(getcurrent())
            if seconds is not None:
                self._add_timer(seconds, pause)
            future.add_done_callback(lambda _: self.call(pause.end))
            restore = self._keep()
            self.paused += 1
            self.hub.switch()
            self.paused -= 1
            restore()
        return future.result(0)

    def run(self, call: Callable[[], Value], *, heavy: bool, first: bool = False) -> Value:
        """Run the call in a thread while the current greenlet waits, with its context and its state.

        ``heavy`` calls share one thread. The ``first`` ones precede others, so that what a request has read is rendered
        before the next request reads.
        """
        context, restore = copy_context(), self._keep()

        def in_thread() -> Value:
            own = self._keep()
            restore()
            try:
                return context.run(call)
            finally:
                own()

        if not heavy:
            return self.wait(self.threads.submit(in_thread))
        start: Future[None] = Future()
        self._line.insert(0 if first else len(self._line), start)
        self.after_round(self._call_next)
        self.wait(start)
        future = self._heavy.submit(in_thread)
        future.add_done_callback(lambda _: self.call(lambda: self.after_round(self._end_heavy)))
        return self.wait(future)

    def _call_next(self) -> None:
        """Let the first heavy call begin if no other is running."""
        if self._line and not self._is_heavy:
            self._is_heavy = True
            self._line.popleft().set_result(None)

    def _end_heavy(self) -> None:
        self._is_heavy = False
        self._call_next()

    def close(self) -> None:
        """Close the sockets; threads end when they have finished."""
        self._closed = True
        for pool in (self.threads, self._heavy):
            pool.shutdown(wait=False, cancel_futures=True)
        self.selector.close()
        self._ear.close()
        self._mouth.close()

    def _add_timer(self, seconds: float, pause: Pause) -> None:
        if len(self._timers) > 1000 + 2 * self.paused:  # Most of these pauses have ended.
            self._timers = [timer for timer in self._timers if not timer[2].ended]
            heapq.heapify(self._timers)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), pause))

    def _hear(self, _: int) -> None:
        with suppress(OSError):
            self._ear.recv(64)
        self._woken = False
