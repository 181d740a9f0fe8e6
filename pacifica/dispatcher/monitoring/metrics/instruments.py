"""What a web process counts as it happens."""

import logging
from collections.abc import Callable, Container
from functools import wraps
from typing import Any, ParamSpec

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

logger = logging.getLogger(__name__)

PREFIX = "pacifica_dispatcher"
UNREGISTERED = "(unregistered)"
"""The label for all tasks that the registry does not know, so that nobody can make labels by asking for tasks."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


Given = ParamSpec("Given")


def harmless(count: Callable[Given, None]) -> Callable[Given, None]:
    """The same, but an error stays in it: nothing that is counted fails for that."""
    logged = False

    @wraps(count)
    def counting(*given: Given.args, **named: Given.kwargs) -> None:
        nonlocal logged
        try:
            count(*given, **named)
        except Exception:
            if not logged:
                logged = True
                logger.warning(
                    "Unhandled exception while counting; further ones of this kind are not logged.", exc_info=True
                )

    return counting


class Counts:
    """The instruments of one web process; ``tasks`` are the names that may become labels.

    Without ``registry`` they only write what a folder is told (``sharing``).
    """

    def __init__(self, registry: CollectorRegistry | None, tasks: Container[str]) -> None:
        self._tasks = tasks
        own: dict[str, Any] = {"namespace": PREFIX, "registry": registry}
        shared: dict[str, Any] = {**own, "multiprocess_mode": "sum"}
        self._requests = Histogram(
            "http_request_duration_seconds",
            "Time until an HTTP answer began, by the route's template.",
            ("route", "method", "status"),
            buckets=SECONDS,
            **own,
        )
        self._unread = Counter(
            "http_unread_requests", "Requests that were refused before they were read.", ("status",), **own
        )
        self._dispatches = Counter("dispatches", "Dispatches over HTTP, by their outcome.", ("task", "outcome"), **own)
        self._publishes = Counter("publishes", "Messages that the relay gave to the broker.", ("outcome",), **own)
        self._failures = Counter(
            "database_errors", "Statements and transactions that the database did not carry out.", ("reason",), **own
        )
        self._waiters = Gauge("waiters", "Requests that wait for a job, and open streams.", ("kind",), **shared)
        self._places = Gauge("waiters_limit", "How many requests may wait, or stream, at a time.", **shared)
        # Each exists from the start, so that a first error is an increase.
        for outcome in ("sent", "refused", "unavailable"):
            self._publishes.labels(outcome)
        self.waiting(0, 0)
        self._children: dict[tuple[str, str, str], Histogram] = {}

    @harmless
    def request(self, route: str, method: str, status: str, seconds: float) -> None:
        """An HTTP answer has begun."""
        key = (route, method, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._requests.labels(*key)
        child.observe(seconds)

    @harmless
    def unread(self, status: int) -> None:
        """A request was refused by whoever reads requests."""
        self._unread.labels(str(int(status))).inc()

    @harmless
    def dispatched(self, task: str, outcome: str) -> None:
        """A dispatch was ``accepted``, ``repeated`` (its key's job is there already), ``refused`` or ``failed``."""
        self._dispatches.labels(self.label(task), outcome).inc()

    @harmless
    def published(self, outcome: str, messages: int) -> None:
        """Messages were ``sent``, or not, as they were ``refused`` or the broker was ``unavailable``."""
        self._publishes.labels(outcome).inc(messages)

    @harmless
    def database_failed(self, reason: str) -> None:
        """The database did not do what it was asked to."""
        self._failures.labels(reason).inc()

    @harmless
    def waiting(self, waits: int, streams: int) -> None:
        """So many requests wait for jobs now, and so many stream events."""
        self._waiters.labels("wait").set(waits)
        self._waiters.labels("stream").set(streams)

    @harmless
    def places(self, number: int) -> None:
        """How many may wait or stream in this process."""
        self._places.set(number)

    def label(self, task: str | None) -> str:
        """The task's name, where it is one of those that can be dispatched."""
        return task if task is not None and task in self._tasks else UNREGISTERED
