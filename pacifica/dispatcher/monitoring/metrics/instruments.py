"""The instruments of a web process: what it counts and measures itself."""

import logging
from collections.abc import Callable, Container
from functools import wraps
from typing import Any, ParamSpec

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

logger = logging.getLogger(__name__)

PREFIX = "pacifica_dispatcher"
UNREGISTERED = "(unregistered)"
"""The label for all unregistered tasks, so that clients cannot create labels by naming tasks."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


Given = ParamSpec("Given")


def harmless(count: Callable[Given, None]) -> Callable[Given, None]:
    """Wrap a function so that an error in it is logged once and not raised: no request fails for a metric."""
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

    Without a ``registry`` they are reported through the folder that the process has joined (``multiprocess``).
    """

    def __init__(self, registry: CollectorRegistry | None, tasks: Container[str]) -> None:
        self._tasks = tasks
        own: dict[str, Any] = {"namespace": PREFIX, "registry": registry}
        shared: dict[str, Any] = {**own, "multiprocess_mode": "sum"}
        self._requests = Histogram(
            "http_request_duration_seconds",
            "Time until an HTTP response began, by the route's template.",
            ("route", "method", "status"),
            buckets=SECONDS,
            **own,
        )
        self._unread = Counter(
            "http_unread_requests", "Requests that were refused before they were read.", ("status",), **own
        )
        self._dispatches = Counter("dispatches", "Dispatches over HTTP, by their outcome.", ("task", "outcome"), **own)
        self._publishes = Counter("publishes", "Messages of the relay, by their outcome.", ("outcome",), **own)
        self._failures = Counter(
            "database_errors", "Statements and transactions that the database did not execute.", ("reason",), **own
        )
        self._waiters = Gauge("waiters", "Requests that wait for a job, and open streams.", ("kind",), **shared)
        self._places = Gauge("waiters_limit", "The maximum number of waiting requests and streams.", **shared)
        # Each label exists from the start, so that a first error is an increase.
        for outcome in ("sent", "refused", "unavailable"):
            self._publishes.labels(outcome)
        self.waiting(0, 0)
        self._children: dict[tuple[str, str, str], Histogram] = {}
        self._outcomes: dict[tuple[str, str], Counter] = {}

    @harmless
    def request(self, route: str, method: str, status: str, seconds: float) -> None:
        """Count an HTTP response that has begun after that many seconds."""
        key = (route, method, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._requests.labels(*key)
        child.observe(seconds)

    @harmless
    def unread(self, status: int) -> None:
        """Count a request that the server refused before it was read."""
        self._unread.labels(str(int(status))).inc()

    @harmless
    def dispatched(self, task: str, outcome: str) -> None:
        """Count a dispatch: ``accepted``, ``repeated`` (the job of an earlier key), ``refused`` or ``failed``."""
        key = (self.label(task), outcome)
        child = self._outcomes.get(key)
        if child is None:
            child = self._outcomes[key] = self._dispatches.labels(*key)
        child.inc()

    @harmless
    def published(self, outcome: str, messages: int) -> None:
        """Count messages: ``sent``, ``refused``, or not sent as the broker was ``unavailable``."""
        self._publishes.labels(outcome).inc(messages)

    @harmless
    def database_failed(self, reason: str) -> None:
        """Count a statement that the database did not execute."""
        self._failures.labels(reason).inc()

    @harmless
    def waiting(self, waits: int, streams: int) -> None:
        """Set the number of requests that wait for jobs now, and of those that stream events."""
        self._waiters.labels("wait").set(waits)
        self._waiters.labels("stream").set(streams)

    @harmless
    def places(self, number: int) -> None:
        """Set how many requests may wait or stream in this process."""
        self._places.set(number)

    def label(self, task: str | None) -> str:
        """The task's name if it is registered, else ``UNREGISTERED``."""
        return task if task is not None and task in self._tasks else UNREGISTERED
