"""The HTTP contract as the tests check it: problem documents, paths of the OpenAPI document, and stored jobs."""

import re
import sqlite3
from contextlib import closing
from typing import Any

from .stack import Stack

UNKNOWN_UUID = "0192f0c1-7c1e-7b60-9f3e-2b1a6d0c4e5f"


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem document of a response, after a check of its status and format."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    assert found["type"] == f"urn:pacifica-dispatcher:problem:{code}"
    assert found["detail"] == found["message"]
    assert "Traceback" not in answer.text
    assert answer.text.endswith("}\n")
    return found


def filled(path: str, uuid: str = UNKNOWN_UUID, task: str = "add") -> str:
    """A path of the OpenAPI document with values for its parameters."""
    values = {"uuid": uuid, "task": task, "name": task, "arguments": "1/2"}
    return re.sub(r"{(\w+)}", lambda found: values[found[1]], path)


def count_jobs(stack: Stack) -> int:
    """The number of stored jobs, read directly from the database."""
    with closing(sqlite3.connect(stack.processes.cwd / "db.sqlite3")) as database:
        return int(database.execute("SELECT count(*) FROM job").fetchone()[0])
