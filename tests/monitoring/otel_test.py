"""One trace from the request through the broker to the task, as a collector receives it."""

import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pacifica.dispatcher.core.tracing import Tracing
from pacifica.dispatcher.monitoring.otel import OtelTracing
from pacifica.dispatcher.monitoring.tracer import tracing
from pacifica.dispatcher.worker.task import TaskExit

from ..e2e.stack import Stack
from ..eventually import eventually
from ..processes import Processes
from ..services import redis_database
from .collector import Collected, Collector

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TASKS = Path(__file__).parent / "programs" / "traced_tasks.py"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


@contextmanager
def traced_stack(folder: Path, collector: Collector, broker_url: str) -> Iterator[Stack]:
    """A server and a worker with tracing."""
    env = {
        "BROKER_URL": broker_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    with Processes(folder, env) as processes:
        shutil.copy(TASKS, folder)
        processes.write_config("[dispatcher]\ntasks = traced_tasks\n")
        web = processes.start_web()
        processes.start_worker()
        yield Stack(processes, web)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector, worker_id: str) -> Iterator[Stack]:
    folder = Path(tmp_path_factory.mktemp("traced"))
    with traced_stack(folder, collector, redis_database(worker_id)) as started:
        yield started


def spans(collector: Collector, uuid: str, number: int) -> list[Collected]:
    """The spans of a job by kind, as soon as that many are collected."""
    found = eventually(lambda: found if len(found := collector.of_job(uuid)) == number else None, 30)
    return sorted(found, key=lambda span: (span.kind, span.attributes.get("pacifica.dispatcher.attempt", 0)))


def by_id(collector: Collector, identity: str) -> Collected:
    return eventually(lambda: next((span for span in collector.spans if span.id == identity), None), 30)


def test_request_message_and_attempt_continue_the_trace_of_the_client(stack: Stack, collector: Collector) -> None:
    made = stack.request("POST", "/dispatch/traced", json={}, headers={"traceparent": PARENT}).json()
    attempt, message = spans(collector, made["uuid"], 2)
    request = by_id(collector, message.parent)
    assert {span.trace for span in (request, message, attempt)} == {PARENT.split("-")[1]}
    assert (request.parent, attempt.parent) == (PARENT.split("-")[2], message.id)
    assert [span.kind for span in (request, message, attempt)] == ["server", "producer", "consumer"]
    assert made["traceparent"] == f"00-{request.trace}-{request.id}-01"
    assert stack.ended(made["uuid"])["result"] == f"00-{message.trace}-{message.id}-01"
    within = eventually(lambda: [span for span in collector.spans if span.name == "within"], 30)
    assert attempt.id in {span.parent for span in within}
    stack.web.wait_until_it_says(rf"trace={request.trace}")


def test_names_and_attributes_follow_the_semantic_conventions(stack: Stack, collector: Collector) -> None:
    uuid = stack.get("/dispatch/add/1/2", headers={"User-Agent": "client/1"}).text
    attempt, message = spans(collector, uuid, 2)
    request = by_id(collector, message.parent)
    assert (request.name, request.parent) == ("GET /dispatch/{task}/{arguments}", "")
    assert (
        request.attributes.items()
        >= {
            "http.request.method": "GET",
            "http.route": "/dispatch/{task}/{arguments}",
            "http.response.status_code": 200,
            "url.path": "/dispatch/add/…",
            "url.scheme": "http",
            "client.address": "127.0.0.1",
            "user_agent.original": "client/1",
        }.items()
    )
    assert (message.name, attempt.name) == ("send dispatcher", "process dispatcher")
    for span, operation in ((message, "send"), (attempt, "process")):
        assert (
            span.attributes.items()
            >= {
                "messaging.system": "redis",
                "messaging.operation.name": operation,
                "messaging.operation.type": operation,
                "messaging.destination.name": "dispatcher",
                "messaging.message.id": uuid,
            }.items()
        )
    assert {span.service for span in (request, message, attempt)} == {"pacifica-dispatcher"}
    assert not any(span.error for span in (request, message, attempt))


def test_a_failure_is_an_error_of_its_attempt_and_a_404_is_no_error(stack: Stack, collector: Collector) -> None:
    attempt, message = spans(collector, stack.dispatch("fail", "Oh no"), 2)
    assert (attempt.error, message.error) == (True, False)
    assert attempt.attributes["error.type"] == "RuntimeError"
    stack.get("/nope")
    lost = eventually(lambda: [span for span in collector.spans if span.attributes.get("url.path") == "/nope"], 30)
    assert [(span.name, span.error) for span in lost] == [("GET", False)]


def test_a_retry_has_a_second_message_in_the_same_trace(stack: Stack, collector: Collector) -> None:
    first, second, *messages = spans(collector, stack.dispatch("again"), 4)
    assert [span.attributes["pacifica.dispatcher.attempt"] for span in (first, second)] == [1, 2]
    assert {first.parent, second.parent} == {message.id for message in messages}
    assert len({message.parent for message in messages}) == 1
    assert not first.error
    assert len({span.trace for span in (first, second, *messages)}) == 1


@pytest.mark.slow
def test_without_a_broker_the_request_is_the_parent_of_each_attempt(tmp_path: Path, collector: Collector) -> None:
    with traced_stack(tmp_path, collector, "database://") as stack:
        first, second = spans(collector, stack.dispatch("again"), 2)
        request = by_id(collector, first.parent)
        assert (request.kind, second.parent) == ("server", request.id)
        assert [span.attributes["pacifica.dispatcher.attempt"] for span in (first, second)] == [1, 2]


def test_a_task_exit_is_recorded_as_the_exception_that_caused_it() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traced = OtelTracing(provider.get_tracer("test"), "database", provider.force_flush)
    with suppress(TaskExit), traced.processing("id", "add", "queue", 1, None):
        raise TaskExit("SystemExit") from SystemExit(3)
    (span,) = exporter.get_finished_spans()
    assert (span.attributes or {})["error.type"] == "SystemExit"


@pytest.mark.parametrize(
    "environ",
    [{}, {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, {"OTEL_SDK_DISABLED": "true"}],
)
def test_nothing_is_traced_without_a_request_in_the_environment(environ: dict[str, str]) -> None:
    assert type(tracing(environ, "sql")) is Tracing


def test_a_warning_names_the_extra_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "pacifica.dispatcher.monitoring.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with caplog.at_level(logging.WARNING):
        assert not tracing({"OTEL_TRACES_EXPORTER": "otlp"}, "sql").on
    assert "pacifica-dispatcher[tracing]" in caplog.text
