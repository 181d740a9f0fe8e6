"""Brokers of their own, as projects of users have queues of fixed names; and the example projects on each."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from ..faults import servers
from ..processes import Processes
from ..services import RABBITMQ, REDIS
from .example import EXAMPLES, Project


@pytest.fixture(scope="session")
def own_servers() -> Iterator[Mapping[str, servers.Server]]:
    """RabbitMQ and Redis of this test process, each started once."""
    with ExitStack() as stack:
        yield {RABBITMQ: stack.enter_context(servers.rabbitmq()), REDIS: stack.enter_context(servers.redis())}


@pytest.fixture(scope="module", params=itertools.product(EXAMPLES, (RABBITMQ, REDIS)), ids="-".join)
def project(
    request: pytest.FixtureRequest,
    own_servers: Mapping[str, servers.Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Project]:
    """An example that has run alone, and is now adopted; RabbitMQ has the queues of its first life."""
    name, broker = request.param
    example = EXAMPLES[name]
    by_rpc = broker == RABBITMQ and example.folder != "workflows"  # Chords need Redis.
    urls = {example.broker: own_servers[broker].url, example.results: "rpc://" if by_rpc else own_servers[REDIS].url}
    with Processes(tmp_path_factory.mktemp(name), urls, measured=False) as processes:
        example.copy(processes.cwd)
        started = Project(example, broker, processes)
        started.run_alone()
        started.adopt()
        yield started
        processes.kill()
