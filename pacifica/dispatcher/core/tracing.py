"""Spans of requests, messages and attempts: none, unless the standard variables of OpenTelemetry ask for them.

Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Protocol

EXPORTER = "OTEL_TRACES_EXPORTER"
"""The environment variable that names the exporter of spans."""


class RequestSpan(Protocol):
    """The span of a request that is being answered in this thread."""

    traceparent: str

    def end(self, status: int, route: str | None, *, cut: bool = False) -> None:
        """The answer is sent, or ``cut`` off; ``route`` is the template of the path, where one was found."""


class Tracing(Protocol):
    """What makes spans; ``on`` is false for one that makes none."""

    on: bool

    def request(self, method: str, traceparent: str | None, attributes: Mapping[str, Any]) -> RequestSpan:
        """Begin a request's span; only of a tracing that is on."""

    def sending(self, uuid: str, queue: str, traceparent: str | None) -> Any:
        """A context manager around the sending of a job's message: the trace context that this carries."""

    def processing(self, uuid: str, task: str, queue: str, attempt: int, traceparent: str | None) -> Any:
        """A context manager around the body of an attempt."""

    def flush(self) -> None:
        """Send what waits, as this process ends; it takes a second at most."""


class NoTracing:
    """The tracing that makes no spans."""

    on = False

    def request(self, method: str, traceparent: str | None, attributes: Mapping[str, Any]) -> RequestSpan:
        """Nobody asks for it."""
        raise NotImplementedError

    def sending(self, uuid: str, queue: str, traceparent: str | None) -> Any:  # noqa: ARG002
        """The client's own trace context goes on."""
        return nullcontext(traceparent)

    def processing(self, uuid: str, task: str, queue: str, attempt: int, traceparent: str | None) -> Any:  # noqa: ARG002
        """Nothing."""
        return nullcontext()

    def flush(self) -> None:
        """Nothing."""
