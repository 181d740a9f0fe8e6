"""A record for the tests of the pages."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from pacifica.dispatcher.orm import MODELS
from pacifica.dispatcher.store.database import Database

from .pages_client import PagesClient


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with its tables, which the tests of a module share, as creating the tables takes longest."""
    with closing(Database(f"sqliteext:///{tmp_path_factory.mktemp('record')}/db.sqlite3")) as opened:
        opened.wait_until_up(1, 0.0)
        yield opened


@pytest.fixture
def browse(record: Database) -> Callable[..., PagesClient]:
    """Makes a client of a service with these settings, on an empty record."""
    for model in MODELS:
        record.write(model.delete().execute)

    def make(**settings: Any) -> PagesClient:
        return PagesClient(record, **settings)

    return make
