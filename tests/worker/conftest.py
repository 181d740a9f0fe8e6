"""Fixtures for tests of what runs inside a worker."""

from collections.abc import Iterator

import pytest

from pacifica.dispatcher.worker.begin_tokens import BeginTokens

from .attempts import Attempts
from .local_worker import LocalWorker, local_worker


@pytest.fixture(autouse=True)
def _lanes_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the lanes that a test makes."""
    made: list[BeginTokens] = []
    make = BeginTokens.__init__

    def noted(tokens: BeginTokens, number: int) -> None:
        make(tokens, number)
        made.append(tokens)

    monkeypatch.setattr(BeginTokens, "__init__", noted)
    yield
    for tokens in made:
        tokens.close()


@pytest.fixture
def worker(sqlite_url: str) -> Iterator[LocalWorker]:
    """A worker in this process, on an empty SQLite file."""
    with local_worker(sqlite_url) as started:
        yield started


@pytest.fixture
def attempts(worker: LocalWorker) -> Attempts:
    """Carries out single attempts of jobs in this process."""
    return Attempts(worker)
