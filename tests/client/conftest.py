"""A running service and its client, which all tests of a module share."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pacifica.dispatcher.client import DispatcherClient

from ..e2e.conftest import start_stack
from ..e2e.stack import Stack
from ..processes import Processes


@contextmanager
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Web server and worker, with the embedded default broker."""
    with Processes(tmp_path_factory.mktemp("stack"), {"BROKER_URL": "database://"}) as processes:
        processes.write_config("[dispatcher]\ntasks = lab\n")
        yield start_stack(processes)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running service."""
    with running_stack(tmp_path_factory) as stack:
        yield stack


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[DispatcherClient]:
    """A client of the service."""
    with DispatcherClient(stack.url) as client:
        yield client
