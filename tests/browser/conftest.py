"""One browser, one record and one worker for all tests in this folder; a fresh profile for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from pacifica.dispatcher.store.database import Database

from ..processes import Processes
from .chromium import PATIENCE, Visit, find_chromium, launch, visiting
from .site import Site

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium; Playwright's loop ends with the tests of this folder, as others run loops of their own."""
    program = find_chromium()
    with sync_playwright() as playwright, launch(playwright, program) as started:
        yield started


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service, with a worker."""
    folder = Path(tmp_path_factory.mktemp("site"))
    with (
        Processes(folder, {"BROKER_URL": "database://"}) as processes,
        closing(Database(f"sqliteext:///{folder}/db.sqlite3")) as database,
    ):
        started = Site(processes, database)
        started.url()
        processes.start_worker(concurrency=2)
        yield started


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[..., Visit]]:
    """Opens a fresh profile at the server with these settings; ``options`` are those of Playwright's context."""
    with ExitStack() as open_ones:

        def make(name: str = "plain", **options: Any) -> Visit:
            return open_ones.enter_context(visiting(browser, site.url(name), **options))

        yield make
