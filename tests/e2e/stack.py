"""A running service as a user has it: a web server, a worker, a record and a broker; and a client for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from ..eventually import eventually
from ..processes import Processes, Running

PROGRAMS = Path(__file__).parent / "programs"
TASKS = PROGRAMS / "lab.py"
"""The tasks of every stack, in a module that is named as the README names its own."""
FINAL = ("SUCCESS", "FAILURE", "REVOKED")


@dataclass
class Stack:
    """The processes of a service; ``web`` answers at ``url``."""

    processes: Processes
    web: Running

    @property
    def url(self) -> str:
        return self.web.url

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, f"{self.url}{path}", timeout=30, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def dispatch(self, task: str, *args: Any, options: Mapping[str, Any] | None = None, **kwargs: Any) -> str:
        """Dispatch with JSON arguments, and return the UUID."""
        body = {"args": args, "kwargs": kwargs, "options": options or {}}
        answer = self.request("POST", f"/dispatch/{task}", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["uuid"])

    def status(self, uuid: str) -> dict[str, Any]:
        answer = self.get(f"/status/{uuid}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ended(self, uuid: str, timeout: float = 30.0) -> dict[str, Any]:
        """Wait until the job is final, and return it."""
        return eventually(
            lambda: job if (job := self.status(uuid))["state"] in FINAL else None, timeout, f"job {uuid} did not end"
        )
