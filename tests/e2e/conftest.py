"""Services that the tests of a module share."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.tokens import TokenStore

from ..processes import Processes
from .secured_stack import SecuredStack
from .stack import TASKS, Stack

Start = Callable[..., Stack]


def start_stack(processes: Processes, server: str = "embedded", *, worker: bool = True) -> Stack:
    """Start a web server and a worker in the working directory of ``processes``."""
    processes.add_module(TASKS)
    web = processes.start_gunicorn() if server == "gunicorn" else processes.start_web()
    if worker:
        processes.start_worker()
    return Stack(processes, web)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service with the embedded default broker, for tests that leave only jobs behind."""
    with Processes(Path(tmp_path_factory.mktemp("stack")), {"BROKER_URL": "database://"}) as processes:
        processes.write_config("[dispatcher]\ntasks = lab\n")
        yield start_stack(processes)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredStack]:
    """A service that requires a token, without a worker."""
    with Processes(Path(tmp_path_factory.mktemp("secured")), {"BROKER_URL": "database://"}) as processes:
        processes.write_config("[dispatcher]\ntasks = lab\n[auth]\nanonymous = none\n")
        stack = start_stack(processes, worker=False)
        with closing(Database(f"sqliteext:///{processes.cwd}/db.sqlite3")) as database:
            yield SecuredStack(stack, JobStore(database), Tokens(TokenStore(database)))


@pytest.fixture(scope="module")
def document(stack: Stack) -> dict[str, Any]:
    """The service's OpenAPI document."""
    found: dict[str, Any] = stack.get("/openapi.json").json()
    return found
