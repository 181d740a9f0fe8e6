"""OpenTelemetry spans (the extra ``tracing``), with the names and attributes of its semantic conventions.

The span of a request is the parent of the spans of its jobs' messages, and the span of a message is the parent of
the span of the attempt that it starts, all in one trace. A retry, or the next attempt of a lost job, has another
message.
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
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..core.tracing import EXPORTER, Tracing
from ..logs import log_context

SERVICE = "pacifica-dispatcher"
SYSTEMS: Mapping[str, str] = {"amqp": "rabbitmq", "sql": "database"}
"""The conventions' names of brokers whose name in kombu is a different one."""
CUT = "cut"
"""The ``error.type`` of a request whose response was cut off by an error."""
NOT_AN_ERROR = ("Retry", "Ignore", "Reject", "SystemExit")
"""Names of exceptions that end an attempt without a failure: those of Celery, and the end of a worker's pool."""
TASK_EXIT = "TaskExit"
"""The name of the exception that ``worker.task`` raises in place of one that would end the worker."""
LAST_FLUSH = 1.0
"""Seconds for which the end of a process waits until its last spans are exported."""
_PROPAGATOR = TraceContextTextMapPropagator()


class PerProcess(SpanProcessor):
    """Exports spans in batches; each forked process makes its own exporter, as no thread or connection is shared."""

    def __init__(self, exporter: Callable[[], SpanExporter]) -> None:
        self._exporter = exporter
        self._made: dict[int, BatchSpanProcessor] = {}

    def on_end(self, span: ReadableSpan) -> None:
        own = self._made.get(os.getpid())
        if own is None:
            own = self._made.setdefault(os.getpid(), BatchSpanProcessor(self._exporter()))
        own.on_end(span)

    def shutdown(self) -> None:
        """Export the last batch."""
        self.force_flush()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export the current batch; false if that is not done in time."""
        own = self._made.get(os.getpid())
        return own is None or briefly(own.force_flush, min(timeout_millis / 1000, LAST_FLUSH))


def briefly(flush: Callable[[], object], seconds: float = LAST_FLUSH) -> bool:
    """Call ``flush`` and return whether it has ended in time; OpenTelemetry itself ignores the time limit."""
    thread = threading.Thread(target=flush, name="last-spans", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # From Python 3.12 on, no thread can be started while the interpreter shuts down.
        flush()
        return True
    thread.join(seconds)
    return not thread.is_alive()


class OpenRequest:
    """The span of a request, which is the current span of this thread until it ends."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token = context.attach(trace.set_span_in_context(span))
        self.traceparent = _current_traceparent() or ""
        log_context.note(trace=trace.format_trace_id(span.get_span_context().trace_id))

    def end(self, status: int, route: str | None, *, cut: bool = False) -> None:
        """End the span: the response was sent, or ``cut`` off by an error."""
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


class OtelTracing(Tracing):
    """Makes spans with a tracer; ``system`` is the conventions' name of the broker."""

    on = True

    def __init__(self, tracer: Tracer, system: str, flush: Callable[[], object]) -> None:
        self._tracer = tracer
        self._system = system
        self._flush = flush

    def request(self, method: str, traceparent: str | None, attributes: Mapping[str, Any]) -> OpenRequest:
        own = {"http.request.method": method, **attributes}
        return OpenRequest(self._tracer.start_span(method, _parent(traceparent), kind=SpanKind.SERVER, attributes=own))

    @contextmanager
    def sending(self, uuid: str, queue: str, traceparent: str | None) -> Iterator[str | None]:
        """The span of a message, from its creation until it is handed to the broker's connection."""
        attributes = self._message("send", uuid, queue)
        with self._tracer.start_as_current_span(
            f"send {queue}", _parent(traceparent), kind=SpanKind.PRODUCER, attributes=attributes
        ):
            yield _current_traceparent()

    @contextmanager
    def processing(self, uuid: str, task: str, queue: str, attempt: int, traceparent: str | None) -> Iterator[None]:
        """The span of an attempt, which is the parent of spans that the task makes."""
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
                _record_error(span, error)
                raise

    def flush(self) -> None:
        """Export the last spans, for at most ``LAST_FLUSH`` seconds."""
        briefly(self._flush)

    def _message(self, operation: str, uuid: str, queue: str) -> dict[str, str]:
        return {
            "messaging.system": self._system,
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.destination.name": queue,
            "messaging.message.id": uuid,
        }


def otel_tracing(environ: Mapping[str, str], driver: str) -> Tracing:
    """Tracing with the program's tracer provider, or with a new one if the program has none."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = _provider(environ)
        trace.set_tracer_provider(provider)
    return OtelTracing(provider.get_tracer("pacifica.dispatcher"), SYSTEMS.get(driver, driver), provider.force_flush)


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
    """The context of the parent, or of a new trace if there is no parent."""
    return _PROPAGATOR.extract({"traceparent": traceparent} if traceparent else {}, Context())


def _current_traceparent() -> str | None:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


def _record_error(span: trace.Span, error: BaseException) -> None:
    if type(error).__name__ in NOT_AN_ERROR:
        return
    cause = error.__cause__ if type(error).__name__ == TASK_EXIT and error.__cause__ else error
    span.record_exception(cause)
    span.set_attribute("error.type", type(cause).__qualname__)
    span.set_status(Status(StatusCode.ERROR))
