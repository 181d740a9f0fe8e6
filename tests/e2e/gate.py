"""A service that lets nobody in without a token, and the means to make tokens and jobs past its door."""

from dataclasses import dataclass
from typing import Any

import requests

from pacifica.dispatcher.core.job import now
from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.store.jobs import JobStore

from ..store.conftest import a_job
from .stack import Stack


@dataclass
class Gate:
    """A service that asks everybody for a token, and its record, to make tokens and jobs of."""

    stack: Stack
    jobs: JobStore
    tokens: Tokens

    def token(self, name: str, *scopes: str, own: bool = False, lifetime: float | None = None) -> str:
        """A new token's text; its caller is ``token:<name>``."""
        return self.tokens.create(name, scopes, own=own, lifetime=lifetime)[0]

    def job(self, task: str, caller: str, **columns: Any) -> str:
        """The UUID of a job that waits, and that no relay looks for."""
        args = [1, 2] if task == "add" else ["Ada"]
        made = a_job(task=task, caller=caller, args=args, **{"eta": now() + 10**10, "due": now() + 10**10, **columns})
        self.jobs.add([made])
        return made.uuid

    def ask(self, method: str, path: str, token: str | None, **options: Any) -> requests.Response:
        """One request with that token."""
        own = {"Authorization": f"Bearer {token}"} if token else {}
        return self.stack.request(method, path, headers={**own, **options.pop("headers", {})}, **options)
