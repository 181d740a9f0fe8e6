"""Services to talk to: one for each combination, and one that all tests of a module share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..processes import Processes
from .stack import LAB, Stack

Start = Callable[..., Stack]


def start_stack(processes: Processes, server: str = "embedded", *, worker: bool = True) -> Stack:
    """A web server and a worker in the working directory of ``processes``."""
    (processes.cwd / "lab.py").write_text(LAB, encoding="utf-8")
    web = processes.start_gunicorn() if server == "gunicorn" else processes.start_web()
    if worker:
        processes.start_worker()
    return Stack(processes, web)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service with the embedded default broker, for tests that leave nothing but jobs behind."""
    with Processes(Path(tmp_path_factory.mktemp("stack")), {"BROKER_URL": "database://"}) as processes:
        processes.write_config("[dispatcher]\ntasks = lab\n")
        yield start_stack(processes)
