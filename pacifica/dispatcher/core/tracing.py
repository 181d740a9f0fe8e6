"""Spans of requests, messages and attempts, which exist only if OpenTelemetry's standard variables enable them.

Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Protocol

EXPORTER = "OTEL_TRACES_EXPORTER"
"""The environment variable that names the exporter of spans."""


class RequestSpan(Protocol):
    """The span of the request that this thread answers."""

    traceparent: str

    def end(self, status: int, route: str | None, *, cut: bool = False) -> None:
        """End the span when the answer was sent or ``cut`` off; ``route`` is the path template, if one matched."""


class Tracing:
    """Creates no spans; ``monitoring.otel`` has a subclass that does."""

    on = False
    """Whether spans are created."""

    def request(self, method: str, traceparent: str | None, attributes: Mapping[str, Any]) -> RequestSpan:
        """Begin the span of a request; called only while ``on`` is true."""
        raise NotImplementedError

    def sending(self, uuid: str, queue: str, traceparent: str | None) -> Any:  # noqa: ARG002
        """A context manager around the sending of a job's message; yields the trace context for the message."""
        return nullcontext(traceparent)

    def processing(self, uuid: str, task: str, queue: str, attempt: int, traceparent: str | None) -> Any:  # noqa: ARG002
        """A context manager around the function of an attempt."""
        return nullcontext()

    def flush(self) -> None:
        """Send pending spans at the end of this process, within a second."""
