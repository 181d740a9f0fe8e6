"""A service that requires a token, and the means to create tokens and jobs without HTTP."""

from dataclasses import dataclass
from typing import Any

import requests

from pacifica.dispatcher.core.job import now
from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.store.jobs import JobStore

from ..store.conftest import a_job
from .stack import Stack


@dataclass
class SecuredStack:
    """A service that requires a token, and the stores of its record."""

    stack: Stack
    jobs: JobStore
    tokens: Tokens

    def token(self, name: str, *scopes: str, own: bool = False, lifetime: float | None = None) -> str:
        """Create a token and return its text; its caller is ``token:<name>``."""
        return self.tokens.create(name, scopes, own=own, lifetime=lifetime)[0]

    def job(self, task: str, caller: str, **columns: Any) -> str:
        """Insert a job that no relay publishes, and return its UUID."""
        args = [1, 2] if task == "add" else ["Ada"]
        made = a_job(task=task, caller=caller, args=args, **{"eta": now() + 10**10, "due": now() + 10**10, **columns})
        self.jobs.add([made])
        return made.uuid

    def ask(self, method: str, path: str, token: str | None, **options: Any) -> requests.Response:
        own = {"Authorization": f"Bearer {token}"} if token else {}
        return self.stack.request(method, path, headers={**own, **options.pop("headers", {})}, **options)
