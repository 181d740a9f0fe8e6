"""Tasks for a worker whose spans a test collects."""

from typing import Any

from opentelemetry import trace

from pacifica.dispatcher import task


@task(name="traced", bind=True)
def traced(self: Any) -> str:
    with trace.get_tracer("traced_tasks").start_as_current_span("within"):
        return self.request.traceparent  # type: ignore[no-any-return]


@task(name="again", bind=True, max_retries=1)
def again(self: Any) -> int:
    if not self.request.retries:
        raise self.retry(countdown=0, exc=OSError("not yet"))
    return 1
