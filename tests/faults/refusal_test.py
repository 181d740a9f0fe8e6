"""A broker that works, but refuses the message of one job."""

from contextlib import closing

import pytest
import redis
from kombu.connection import Connection

from ..eventually import eventually
from ..services import RABBITMQ, REDIS
from .cluster import MakeCluster


def spoil(url: str, queue: str) -> None:
    """Make the broker refuse every message to this queue."""
    if url.startswith("redis"):
        with closing(redis.Redis.from_url(url, socket_timeout=5)) as client:
            for key in (queue, *(f"{queue}\x06\x16{step}" for step in (3, 6, 9))):
                client.set(key, "no list", ex=600)
    else:
        with Connection(url, connect_timeout=5) as connection, connection.channel() as channel:
            full = {"x-expires": 600_000, "x-max-length": 0, "x-overflow": "reject-publish"}
            channel.queue_declare(queue, durable=True, auto_delete=False, arguments=full)


@pytest.mark.parametrize("kind", [RABBITMQ, REDIS])
def test_job_that_the_broker_refuses_delays_no_other_job(
    make_cluster: MakeCluster, make_broker: object, queue_name: str, kind: str
) -> None:
    url = make_broker(kind)  # type: ignore[operator]
    cluster = make_cluster(url)
    spoilt = f"{queue_name}-spoilt"
    spoil(url, spoilt)
    cluster.worker("-P", "solo")
    refused = [cluster.add("double", number, queue=spoilt) for number in range(3)]
    eventually(lambda: all("REFUSED" in cluster.history(uuid) for uuid in refused), 20)
    others = [cluster.add("double", number) for number in range(20)]
    assert [cluster.ended(uuid, 20).state for uuid in others] == ["SUCCESS"] * 20
    assert {cluster.job(uuid).state for uuid in refused} == {"PENDING"}
    cluster.check_final(others)
