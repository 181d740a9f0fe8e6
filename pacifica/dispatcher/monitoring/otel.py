"""Spans by OpenTelemetry, of the extra ``tracing``: named and described as its semantic conventions say.

A request's span is the parent of its jobs' messages, and a message's span that of the attempt which it starts: one
trace. A retry, and the next attempt of a job that was lost, have a message of their own, beside the first.
Source: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..core.tracing import EXPORTER, Tracing
from ..logs import log_context

SERVICE = "pacifica-dispatcher"
SYSTEMS: Mapping[str, str] = {"amqp": "rabbitmq", "sql": "database"}
"""The conventions' names of brokers, where they are not kombu's."""
CUT = "cut"
"""The ``error.type`` of a request whose answer had begun when an error ended it."""
NOT_AN_ERROR = ("Retry", "Ignore", "Reject", "SystemExit")
"""What leaves an attempt without a failure of its body: Celery's words, and a pool that ends."""
LAST_FLUSH = 1.0
"""Seconds in which the last spans of a process may be sent: no worker waits longer for a collector."""
_PROPAGATOR = TraceContextTextMapPropagator()


class PerProcess(SpanProcessor):
    """Sends spans in batches from the process that made them: thread and connection do not survive a fork."""

    def __init__(self, exporter: Callable[[], SpanExporter]) -> None:
        self._exporter = exporter
        self._made: dict[int, BatchSpanProcessor] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is to be done."""

    def on_end(self, span: ReadableSpan) -> None:
        """Put it into this process's next batch."""
        own = self._made.get(os.getpid())
        if own is None:
            own = self._made.setdefault(os.getpid(), BatchSpanProcessor(self._exporter()))
        own.on_end(span)

    def shutdown(self) -> None:
        """Send what waits; nothing comes any more."""
        self.force_flush()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits; whether all of it was sent in time."""
        own = self._made.get(os.getpid())
        return own is None or briefly(own.force_flush, min(timeout_millis / 1000, LAST_FLUSH))


def briefly(flush: Callable[[], object], seconds: float = LAST_FLUSH) -> bool:
    """Whether ``flush`` has come to its end in time; OpenTelemetry's own keeps to no time limit."""
    thread = threading.Thread(target=flush, name="last-spans", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # From Python 3.12 on an interpreter that ends makes no threads.
        flush()
        return True
    thread.join(seconds)
    return not thread.is_alive()


class OpenRequest:
    """A request's span, current in this thread until it ends."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token = context.attach(trace.set_span_in_context(span))
        self.traceparent = _told() or ""
        log_context.note(trace=trace.format_trace_id(span.get_span_context().trace_id))

    def end(self, status: int, route: str | None, *, cut: bool = False) -> None:
        """The answer is sent, or cut off by an error."""
        span = self._span
        span.set_attribute("http.response.status_code", status)
        if route is not None:
            span.set_attribute("http.route", route)
            span.update_name(f"{getattr(span, 'name', '')} {route}")
        if status >= 500 or cut:
            span.set_attribute("error.type", str(status) if status >= 500 else CUT)
            span.set_status(Status(StatusCode.ERROR))
        context.detach(self._token)
        span.end()


class Traced:
    """Makes spans by a tracer."""

    on = True

    def __init__(self, tracer: Tracer, system: str, flush: Callable[[], object]) -> None:
        self._tracer = tracer
        self._system = system
        self._flush = flush

    def request(self, method: str, traceparent: str | None, attributes: Mapping[str, Any]) -> OpenRequest:
        """Begin a request's span."""
        own = {"http.request.method": method, **attributes}
        return OpenRequest(self._tracer.start_span(method, _parent(traceparent), kind=SpanKind.SERVER, attributes=own))

    @contextmanager
    def sending(self, uuid: str, queue: str, traceparent: str | None) -> Iterator[str | None]:
        """A message's span, from when it is made until it is handed to the broker's connection."""
        attributes = self._message("send", uuid, queue)
        with self._tracer.start_as_current_span(
            f"send {queue}", _parent(traceparent), kind=SpanKind.PRODUCER, attributes=attributes
        ):
            yield _told()

    @contextmanager
    def processing(self, uuid: str, task: str, queue: str, attempt: int, traceparent: str | None) -> Iterator[None]:
        """An attempt's span; a task's own spans are within it."""
        attributes: dict[str, str | int] = {
            **self._message("process", uuid, queue),
            "pacifica.dispatcher.task": task,
            "pacifica.dispatcher.attempt": attempt,
        }
        with self._tracer.start_as_current_span(
            f"process {queue}",
            _parent(traceparent),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            log_context.note(trace=trace.format_trace_id(span.get_span_context().trace_id))
            try:
                yield
            except BaseException as error:
                _tell_error(span, error)
                raise

    def flush(self) -> None:
        """Send what waits, as far as there is time."""
        briefly(self._flush)

    def _message(self, operation: str, uuid: str, queue: str) -> dict[str, str]:
        return {
            "messaging.system": self._system,
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.destination.name": queue,
            "messaging.message.id": uuid,
        }


def traced(environ: Mapping[str, str], driver: str) -> Tracing:
    """The tracing by the program's tracer provider, which is made where there is none yet."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = _provider(environ)
        trace.set_tracer_provider(provider)
    return Traced(provider.get_tracer("pacifica.dispatcher"), SYSTEMS.get(driver, driver), provider.force_flush)


def _provider(environ: Mapping[str, str]) -> TracerProvider:
    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if named else {SERVICE_NAME: SERVICE}))
    provider.add_span_processor(PerProcess(_console if environ.get(EXPORTER) == "console" else _otlp))
    return provider


def _console() -> SpanExporter:
    return ConsoleSpanExporter(out=sys.__stderr__ or sys.stderr)


def _otlp() -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _parent(traceparent: str | None) -> Context:
    """The context that a text names; a new trace's without one."""
    return _PROPAGATOR.extract({"traceparent": traceparent} if traceparent else {}, Context())


def _told() -> str | None:
    """The current span as a text."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


def _tell_error(span: trace.Span, error: BaseException) -> None:
    if type(error).__name__ in NOT_AN_ERROR:
        return
    cause = error.__cause__ if type(error).__name__ == "BodyExit" and error.__cause__ else error
    span.record_exception(cause)
    span.set_attribute("error.type", type(cause).__qualname__)
    span.set_status(Status(StatusCode.ERROR))
