"""The W3C trace context of a dispatch is stored in the row and passed to the task."""

import pytest

from ..processes import Processes
from .stack import PROGRAMS, Stack

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def stack(processes: Processes) -> Stack:
    processes.add_module(PROGRAMS / "trace_tasks.py")
    processes.write_config("[dispatcher]\ntasks = trace_tasks\n")
    processes.env["BROKER_URL"] = "database://"
    web = processes.start_web()
    processes.start_worker()
    return Stack(processes, web)


def test_task_reads_the_trace_context_of_its_request(stack: Stack) -> None:
    kept = {
        PARENT: PARENT,
        "01" + PARENT[2:] + "-more": PARENT,
        PARENT + "-more": None,
        PARENT.upper(): None,
        "ff" + PARENT[2:]: None,
        "00-" + "0" * 32 + PARENT[35:]: None,
        "nonsense": None,
    }
    for sent, read in kept.items():
        made = stack.request("POST", "/dispatch/traced", json={}, headers={"traceparent": sent})
        assert made.status_code == 202, made.text
        assert made.json()["traceparent"] == read
        assert stack.ended(made.json()["uuid"])["result"] == read


def test_dispatch_by_get_is_traced_too(stack: Stack) -> None:
    uuid = stack.get("/dispatch/traced", headers={"traceparent": PARENT}).text.strip()
    assert stack.ended(uuid)["result"] == PARENT
