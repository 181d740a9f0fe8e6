"""``tasks`` and ``openapi``."""

import json
import re

from ..conftest import Run
from ..outcome import output_of


def test_tasks_and_openapi_describe_the_service(run_process: Run, invoke: Run) -> None:
    line = r"^lab\.greet +name: string, loud: boolean = false +A greeting\. *$"
    assert re.search(line, output_of(run_process("tasks")), re.MULTILINE)
    described = output_of(invoke("tasks", "add"))
    assert "x: integer | number | string" in described
    assert "NaN" not in described
    assert json.loads(output_of(invoke("tasks", "add", "--json")))["name"] == "add"
    assert json.loads(output_of(run_process("openapi")))["openapi"].startswith("3.1")
