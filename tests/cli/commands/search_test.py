"""``search``: its table, its JSON, and the times that it takes."""

import json

import pytest

from ...client.stub import Answer, Stub
from ...e2e.stack import Stack
from ..conftest import Run
from ..outcome import output_of


def test_search_prints_a_table_or_json_lines(run_process: Run, invoke: Run, stack: Stack) -> None:
    uuids = [stack.dispatch("add", n, 1, options={"labels": {"run": "listed"}}) for n in range(3)]
    for uuid in uuids:
        stack.ended(uuid)
    options = ("--label", "run=listed", "--state", "success", "--since", "1h", "-n", "2")
    lines = output_of(run_process("search", *options)).splitlines()
    assert lines[0].split() == ["UUID", "TASK", "STATE", "AGE", "RAN", "RESULT"]
    assert [line.split()[0] for line in lines[1:]] == uuids[:0:-1]
    printed = output_of(invoke("search", "--label", "run=listed", "--all", "--json")).splitlines()
    assert [json.loads(line)["uuid"] for line in printed] == uuids[::-1]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("2026-11-24", "2026-11-24T00%3A00%3A00%2B00%3A00"),
        ("2026-11-24T09:30:00+02:00", "2026-11-24T09%3A30%3A00%2B02%3A00"),
        ("1.5h", "5400.0"),
    ],
)
def test_since_takes_a_day_a_time_or_a_duration(stub: Stub, invoke_on_stub: Run, given: str, sent: str) -> None:
    stub.will(Answer(body={"jobs": [], "next": None}))
    assert invoke_on_stub("search", "--since", given).returncode == 0
    assert f"since={sent}&" in stub.requests[0].path


@pytest.mark.parametrize("given", ["yesterday", "2026-11-24T09:30"])
def test_error_for_an_invalid_time_lists_the_valid_forms(invoke_on_stub: Run, given: str) -> None:
    ran = invoke_on_stub("search", "--since", given)
    assert ran.returncode == 2
    assert f"'{given}' is not a time. Use a time with an offset" in ran.stderr


def test_text_of_an_error_is_sent_and_empty_pages_are_passed_over(stub: Stub, invoke_on_stub: Run) -> None:
    pages = ({"jobs": [], "next": path} for path in ("/status?error=full&cursor=abc", None))
    stub.will(*(Answer(body=page) for page in pages))
    assert invoke_on_stub("search", "--error", "disk full 100%").returncode == 0
    assert "error=disk+full+100%25&" in stub.requests[0].path
    assert stub.requests[1].path == "/status?error=full&cursor=abc"
