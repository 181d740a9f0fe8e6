"""Fixtures for tests of what runs inside a worker."""

from collections.abc import Iterator

import pytest

from .attempts import Attempts
from .local_worker import LocalWorker, local_worker


@pytest.fixture
def worker(sqlite_url: str) -> Iterator[LocalWorker]:
    """A worker in this process, on an empty SQLite file."""
    with local_worker(sqlite_url) as started:
        yield started


@pytest.fixture
def attempts(worker: LocalWorker) -> Attempts:
    """Carries out single attempts of jobs in this process."""
    return Attempts(worker)
