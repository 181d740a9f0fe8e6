"""Fixtures for all tests: servers, databases, brokers, queues, processes; the fast tests; the skipped ones."""

import os
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path

import pytest
from hypothesis import settings

from pacifica.dispatcher.store.database import Database

from .forked import MEASURING
from .ordering import in_lanes
from .processes import LIVE, SETTINGS, Processes
from .services import (
    BROKERS,
    DATABASES,
    MYSQL,
    POSTGRESQL,
    RABBITMQ,
    REDIS,
    SERVERS,
    SQLITE,
    TABLE,
    allowed_servers,
    forget_queue,
    fresh_database,
    redis_database,
    require,
)

# A deadline would fail on a busy machine.
settings.register_profile("pacifica", deadline=None)
settings.load_profile("pacifica")

SHOWN = 20_000
"""The report of a failed test shows so many of the last characters of each process's output."""

SLOW_FOLDERS = {"adoption", "browser", "chaos", "e2e", "faults"}
SLOW_FIXTURES = {"mysql_url", "postgresql_url", "processes", "rabbitmq_url", "redis_url", "stack", "wrk"}
"""These start a process or need a server. A fast run fails at any other test that does so, until it is marked."""

UNMEASURED = {"faults", "database_transport"}
"""Folders whose tests start many processes; other tests measure the coverage of the same code."""


@pytest.fixture
def rabbitmq_url() -> str:
    """The URL of RabbitMQ, for Celery."""
    return require(RABBITMQ)


@pytest.fixture
def redis_url(worker_id: str) -> str:
    """A Redis database that no other process of this test run uses; it may hold keys of earlier tests."""
    return redis_database(worker_id)


@pytest.fixture
def postgresql_url() -> str:
    """The URL of PostgreSQL's maintenance database."""
    return require(POSTGRESQL)


@pytest.fixture
def mysql_url() -> str:
    """The URL of MariaDB, without a database."""
    return require(MYSQL)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The PeeWee URL of an SQLite file that does not exist yet."""
    return f"sqliteext:///{tmp_path}/db.sqlite3"


@pytest.fixture
def make_database(sqlite_url: str) -> Iterator[Callable[[str], str]]:
    """Creates an empty database of a kind ("sqlite", "postgresql", "mysql") and returns its PeeWee URL."""
    with ExitStack() as databases:
        yield lambda kind: sqlite_url if kind == SQLITE else databases.enter_context(fresh_database(kind))


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, make_database: Callable[[str], str]) -> str:
    """The PeeWee URL of an empty database; the test runs once for each kind."""
    return make_database(request.param)


@pytest.fixture(scope="module", params=DATABASES)
def shared_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database of each kind, shared by the tests of one file, as creating the tables takes longest."""
    kind, folder = request.param, tmp_path_factory.mktemp("store")
    urls = nullcontext(f"sqliteext:///{folder}/db.sqlite3") if kind == SQLITE else fresh_database(kind)
    with urls as url, closing(Database(url)) as opened:
        opened.wait_until_up(1, 0.0)
        yield opened


@pytest.fixture
def make_broker(worker_id: str) -> Callable[[str], str]:
    """Returns the URL of a broker of a kind ("rabbitmq", "redis", "database"); the last is the job's own database."""

    def make(kind: str) -> str:
        if kind == TABLE:
            return "database://"
        return redis_database(worker_id) if kind == REDIS else require(kind)

    return make


@pytest.fixture(params=BROKERS)
def broker_url(request: pytest.FixtureRequest, make_broker: Callable[[str], str]) -> str:
    """The URL of a broker; the test runs once for each kind."""
    return make_broker(request.param)


@pytest.fixture
def queue_name(worker_id: str) -> Iterator[str]:
    """An unused name for a queue; the queue is deleted after the test."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    forget_queue(name, worker_id)


@pytest.fixture
def processes(
    tmp_path: Path, queue_name: str, make_database: Callable[[str], str], request: pytest.FixtureRequest
) -> Iterator[Processes]:
    """Starts web server, worker or gunicorn in ``tmp_path`` and kills them; a failed test shows their output."""
    # Queue and databases are removed after the processes have ended: a worker would create its queue again.
    with Processes(tmp_path, measured=not UNMEASURED.intersection(folders(request.node))) as started:
        yield started
        if MEASURING not in os.environ:  # A killed process does not write its coverage.
            started.kill()  # The tests of a stop have waited for it, and so do the services of whole modules.


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the output of the processes of a failed test."""
    report = yield
    if report.failed:
        for process in (one for started in LIVE for one in started.running):
            report.sections.append((f"output of {process.name} ({process.log.name})", process.output()[-SHOWN:]))
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """End with the number of skipped tests for each reason."""
    yield
    lines = skip_lines(terminalreporter)
    terminalreporter.section("skipped")
    for line in lines:
        terminalreporter.write_line(line)
    if path := terminalreporter.config.getoption("--skips-to"):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def skip_lines(reporter: pytest.TerminalReporter) -> list[str]:
    """Return a line for each reason, with the number of tests that were skipped for it."""
    reports = reporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)
    return [f"{number} skipped: {reason}" for reason, number in reasons.most_common()] or ["Nothing was skipped."]


def pytest_configure(config: pytest.Config) -> None:
    """Remove variables such as ``BROKER_URL``, which would change what a test sees."""
    for name in [name for name in os.environ if SETTINGS.match(name)]:
        del os.environ[name]
    if config.option.markexpr == "not slow":
        allowed_servers.clear()
        sys.addaudithook(refuse_processes)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as slow what starts a process or needs a server; several processes begin with the longest tests."""
    for item in items:
        if is_slow(item):
            item.add_marker("slow")
    testers = getattr(config, "workerinput", {}).get("workercount", 1)
    if testers > 1:
        items[:] = in_lanes(items, testers)


def folders(item: pytest.Item) -> tuple[str, ...]:
    """Return the folders of a test within the project, wherever its checkout is."""
    return item.path.relative_to(item.config.rootpath).parts


def is_slow(item: pytest.Item) -> bool:
    """Whether the folder, a fixture or a parameter of the test says that it starts a process or needs a server."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return bool(
        SLOW_FOLDERS.intersection(folders(item))
        or SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        or any(value.partition("+")[0] in SERVERS for value in parameters if isinstance(value, str))
    )


def refuse_processes(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook that fails each fast test that starts a process; pytest-xdist itself may start some."""
    if event in {"subprocess.Popen", "os.fork", "os.posix_spawn"} and "PYTEST_CURRENT_TEST" in os.environ:
        raise AssertionError(f"This test starts a process {arguments[:2]}. Mark it: @pytest.mark.slow")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let ``make coverage`` repeat these lines after its report."""
    parser.addoption("--skips-to", metavar="FILE", help="write the skipped tests and the reasons to FILE, too")
