"""``tasks`` and ``openapi``."""

import json
import re
from typing import Any

import pytest

from ...client.stub import Answer, Stub
from ..conftest import Run
from ..outcome import assert_failed, output_of


def test_tasks_and_openapi_describe_the_service(run_process: Run, invoke: Run) -> None:
    line = r"^lab\.greet +name: string, loud: boolean = false +A greeting\. *$"
    assert re.search(line, output_of(run_process("tasks")), re.MULTILINE)
    described = output_of(invoke("tasks", "add"))
    assert "x: integer | number | string" in described
    assert "NaN" not in described
    assert json.loads(output_of(invoke("tasks", "add", "--json")))["name"] == "add"
    assert json.loads(output_of(run_process("openapi")))["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    "arguments", [{"properties": None}, {"properties": {"x": 7}}, {"properties": {"x": {"enum": 1}}}]
)
def test_schema_of_another_form_is_an_error(stub: Stub, invoke_on_stub: Run, arguments: Any) -> None:
    stub.will(Answer(body={"tasks": [{"name": "a", "doc": "", "arguments": arguments, "result": {}}]}))
    ran = invoke_on_stub("tasks")
    assert_failed(ran, 2, "The answer did not come from a dispatcher")
