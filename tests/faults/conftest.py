"""Fixtures of the fault tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ..processes import Processes
from ..services import POSTGRESQL, RABBITMQ, REDIS
from . import servers
from .cluster import Cluster, MakeCluster
from .servers import Server


@pytest.fixture
def make_cluster(
    processes: Processes, make_broker: Callable[[str], str], make_database: Callable[[str], str], queue_name: str
) -> Iterator[MakeCluster]:
    """Creates a cluster with a broker and a database of a kind, or at the URLs that the test gives."""
    made: list[Cluster] = []

    def make(broker: str = "database", database: str = "sqlite", **own: object) -> Cluster:
        broker_url = broker if "://" in broker else make_broker(broker)
        database_url = database if "://" in database else make_database(database)
        made.append(Cluster.set_up(processes, database_url, broker_url, queue_name, **own))
        return made[0]

    yield make
    for cluster in made:
        cluster.close()
    processes.kill()  # The test is over, and a clean stop takes seconds.


@pytest.fixture(scope="module")
def own_rabbitmq() -> Iterator[Server]:
    """A RabbitMQ node that the tests of a module share, as its start takes long; each test leaves it running."""
    with servers.rabbitmq() as server:
        yield server


@pytest.fixture
def own_redis() -> Iterator[Server]:
    """A Redis server for one test."""
    with servers.redis() as server:
        yield server


@pytest.fixture
def own_broker(request: pytest.FixtureRequest) -> Callable[[str], Server]:
    """Returns a broker of a kind that the test may stop and kill."""
    return lambda kind: request.getfixturevalue({RABBITMQ: "own_rabbitmq", REDIS: "own_redis"}[kind])


@pytest.fixture
def own_database() -> Iterator[Callable[..., Server]]:
    """Starts a database server of a kind that the test may stop and kill."""
    with ExitStack() as last:
        yield lambda kind, **how: last.enter_context(
            (servers.postgresql if kind == POSTGRESQL else servers.mariadb)(**how)
        )


@pytest.fixture
def record_figure(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Adds a measured figure to the test's report; ``--junitxml`` shows it."""
    # pytest's record_property warns about the newer format of that file, and a warning is an error here.
    return lambda name, value: request.node.user_properties.append((name, value))
