"""The metrics of a service of several processes: two of gunicorn, and a worker."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from ..eventually import eventually
from ..processes import Processes
from .conftest import start_stack
from .stack import Stack

PREFIX = "pacifica_dispatcher_"
DURATION = "http_request_duration_seconds_count"
Metrics = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service under gunicorn with two workers."""
    folder = Path(tmp_path_factory.mktemp("two-processes"))
    with Processes(folder, {"BROKER_URL": "database://", "TMPDIR": str(folder)}) as processes:
        processes.write_config("[dispatcher]\ntasks = lab\nlease_seconds = 3\n[auth]\nrate_limit = 0\n")
        stack = start_stack(processes, "gunicorn")
        yield stack
        assert list(folder.glob("pacifica-dispatcher-metrics-*"))
        stack.web.stop()
        assert not list(folder.glob("pacifica-dispatcher-metrics-*")), "gunicorn must remove its folder"


def parsed(text: str) -> Metrics:
    """Return the value of each sample by its name, without the prefix, and its labels."""
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    assert all(sample.name.startswith(PREFIX) for sample in samples)
    return {(sample.name.removeprefix(PREFIX), frozenset(sample.labels.items())): sample.value for sample in samples}


def scrape(stack: Stack) -> Metrics:
    """Return the metrics of the process that answers."""
    answer = stack.get("/metrics")
    assert answer.status_code == 200, answer.text
    return parsed(answer.text)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """Return the sum of all samples with that name and these labels."""
    wanted = set(labels.items())
    return sum(found for (known, own), found in metrics.items() if known == name and wanted <= own)


def children(stack: Stack) -> list[int]:
    """Return the process ids of gunicorn's workers."""
    pid = stack.web.popen.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def ask(stack: Stack, path: str, number: int) -> None:
    """Send requests over new connections, so that either process may answer them."""
    for _ in range(number):
        assert stack.get(path).ok


def test_each_process_reports_the_requests_of_all_processes(two_processes: Stack) -> None:
    before = value(scrape(two_processes), DURATION, route="/tasks/{name}", status="200")
    ask(two_processes, "/tasks/add", 40)
    asked = [value(scrape(two_processes), DURATION, route="/tasks/{name}", status="200") - before for _ in range(6)]
    assert asked == [40] * 6


def test_counts_of_a_killed_process_are_kept(two_processes: Stack) -> None:
    before = value(scrape(two_processes), DURATION, route="/tasks", method="GET")
    ask(two_processes, "/tasks", 20)
    old = children(two_processes)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(new := set(children(two_processes))) == 2 and not new & set(old))
    ask(two_processes, "/tasks", 20)
    assert value(scrape(two_processes), DURATION, route="/tasks", method="GET") - before == 40
    folder = next(two_processes.processes.cwd.glob("pacifica-dispatcher-metrics-*"))
    assert len(list(folder.glob("histogram_*.db"))) == 2


def test_requests_are_counted_by_route_template(two_processes: Stack) -> None:
    uuid = two_processes.dispatch("add", 1, 2)
    two_processes.ended(uuid)
    two_processes.get("/dispatch/add/1/2")
    two_processes.get("/no/such/path")
    two_processes.request("BREW", "/tasks")
    two_processes.request("DELETE", f"/status/{uuid}")
    two_processes.request("PUT", f"/status/{uuid}")
    metrics = scrape(two_processes)
    seen = {
        (labels["method"], labels["route"], labels["status"])
        for name, own in metrics
        if name == DURATION
        for labels in (dict(own),)
    }
    assert seen >= {
        ("POST", "/dispatch/{task}", "202"),
        ("GET", "/dispatch/{task}/{arguments}", "200"),
        ("GET", "/status/{uuid}", "200"),
        ("GET", "(none)", "404"),
        ("(other)", "/tasks", "405"),
        ("DELETE", "/status/{uuid}", "409"),
        ("PUT", "/status/{uuid}", "405"),
    }
    assert uuid not in str(metrics)
    assert "no/such" not in str(metrics)


def test_dispatches_are_counted_by_task_and_outcome(two_processes: Stack) -> None:
    before = scrape(two_processes)
    key = {"Idempotency-Key": "counted"}
    for _ in range(2):
        two_processes.request("POST", "/dispatch/mul", json={"args": [2, 3]}, headers=key)
    two_processes.get("/dispatch/mul/1")
    two_processes.get("/dispatch/nope/1")
    two_processes.request(
        "POST", "/dispatch", json=[{"task": "mul", "args": [1, 2]}, {"task": "mul"}, {"task": "nope"}]
    )
    after = scrape(two_processes)

    def more(task: str, outcome: str) -> float:
        new, old = (value(one, "dispatches_total", task=task, outcome=outcome) for one in (after, before))
        return new - old

    assert (more("mul", "accepted"), more("mul", "repeated"), more("mul", "refused")) == (2, 1, 2)
    assert more("(unregistered)", "refused") == 2
    assert "nope" not in str(after)


def test_run_times_and_retries_come_from_the_workers(two_processes: Stack) -> None:
    before = eventually(lambda: seen if not value(seen := scrape(two_processes), "job_events_uncounted") else None)
    two_processes.ended(two_processes.dispatch("sleep", 0.06))
    two_processes.ended(two_processes.dispatch("fail", "no"))
    two_processes.ended(two_processes.dispatch("flaky", 2))

    def counted() -> Metrics | None:
        seen = scrape(two_processes)
        return seen if value(seen, "run_duration_seconds_count", task="flaky", outcome="SUCCESS") else None

    after = eventually(counted, 20)
    assert value(after, "run_duration_seconds_count", task="sleep", outcome="SUCCESS") == 1
    assert value(after, "run_duration_seconds_bucket", task="sleep", le="0.05") == 0
    assert 0.06 <= value(after, "run_duration_seconds_sum", task="sleep") < 10
    assert value(after, "run_duration_seconds_count", task="fail", outcome="FAILURE") == 1
    assert value(after, "job_events_total", task="flaky", kind="RETRY") == 2
    assert value(before, "job_events_total", task="flaky") == 0
    # Both processes report the same counts.
    assert [value(scrape(two_processes), "run_duration_seconds_count", task="flaky") for _ in range(6)] == [1] * 6


def test_waiting_jobs_are_reported_with_their_age(two_processes: Stack) -> None:
    sleeping = [two_processes.dispatch("sleep", 30) for _ in range(2)]
    for uuid in sleeping:  # Two relays have no common order, so another job might be published first.
        eventually(lambda uuid=uuid: two_processes.status(uuid)["state"] == "STARTED", 20)
    waiting = two_processes.dispatch("echo", 1)
    seen = eventually(
        lambda: (
            found
            if value(found := scrape(two_processes), "jobs", task="sleep", state="STARTED") == 2
            and value(found, "jobs", task="echo", state="PENDING") == 1
            else None
        ),
        20,
    )
    assert 0 < value(seen, "queue_age_seconds", task="echo") < 30
    assert value(seen, "figure_truncated") == 0
    for uuid in (*sleeping, waiting):
        two_processes.request("DELETE", f"/status/{uuid}")
    for uuid in sleeping:
        two_processes.ended(uuid)


def test_waits_and_streams_are_counted_while_they_last(two_processes: Stack) -> None:
    uuid = two_processes.dispatch("add", 1, 2, options={"countdown": 60})
    with two_processes.get("/events", headers={"Accept": "text/event-stream"}, stream=True) as stream:
        seen = scrape(two_processes)
        assert value(seen, "waiters", kind="stream") == 1
        assert value(seen, "waiters_limit") == 8
        assert stream.ok
    assert two_processes.request("DELETE", f"/status/{uuid}").ok
    eventually(lambda: value(scrape(two_processes), "waiters") == 0, 30)


def test_living_worker_and_working_parts_are_reported(two_processes: Stack) -> None:
    seen = eventually(
        lambda: found if value(found := scrape(two_processes), "workers", state="living") == 1 else None, 20
    )
    assert {dict(own)["part"]: found for (name, own), found in seen.items() if name == "up"} == dict.fromkeys(
        ("database", "broker", "schema", "outbox", "workers", "tasks"), 1.0
    )
    ready = eventually(
        lambda: found if (found := two_processes.get("/health/ready").json())["workers"]["living"] else None
    )
    assert (ready["status"], ready["checks"]["workers"]["verdict"]) == ("ok", "ok")
    assert 0 <= ready["checks"]["workers"]["age"] <= 3


def test_format_is_the_one_that_the_client_prefers(two_processes: Stack) -> None:
    answer = two_processes.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain;version=0.0.4;charset=utf-8"
    prometheus = (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
        "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
    )
    answer = two_processes.get("/metrics", headers={"Accept": prometheus})
    assert answer.headers["Content-Type"] == "application/openmetrics-text;version=1.0.0;charset=utf-8"
    assert answer.text.endswith("# EOF\n")
    assert list(openmetrics(answer.text))
    assert two_processes.request("HEAD", "/metrics").content == b""
