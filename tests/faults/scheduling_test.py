"""Times, queues and priorities of a dispatch survive restarts and reach the broker."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from kombu.connection import Connection

from pacifica.dispatcher.core.job import now

from ..e2e.stack import Stack
from ..eventually import eventually
from ..services import BROKERS, RABBITMQ, REDIS
from .cluster import MakeCluster


@pytest.mark.parametrize("broker", BROKERS)
def test_scheduled_and_expiring_jobs_survive_a_kill_of_every_process(make_cluster: MakeCluster, broker: str) -> None:
    cluster = make_cluster(broker)
    stack = Stack(cluster.processes, cluster.processes.start_web())
    eta = datetime.now(UTC) + timedelta(seconds=3)
    scheduled = {
        stack.dispatch("note", "countdown", options={"countdown": 3}): "countdown",
        stack.dispatch("note", "eta", options={"eta": eta.isoformat()}): "eta",
    }
    too_late = [
        stack.dispatch("note", "expired", options={"expires": 0.2}),
        stack.dispatch("note", "expired", options={"expires": 0.2, "countdown": 0.1}),
    ]
    in_time = stack.dispatch("note", "in time", options={"countdown": 3, "expires": 600})
    stack.web.kill()
    assert all(cluster.job(uuid).published is None for uuid in [*scheduled, in_time])
    eventually(lambda: now() > max(cluster.job(uuid).expires or 0 for uuid in too_late))
    cluster.worker().kill()
    cluster.worker()
    for uuid, name in scheduled.items():
        job = cluster.ended(uuid)
        assert job.eta is not None
        assert job.started is not None
        assert (job.state, job.attempt, cluster.runs(name)[1:]) == ("SUCCESS", 1, [])
        # A worker may start before the relay has recorded that the job is published.
        assert job.eta <= min(job.started, job.published or job.started)
    assert cluster.ended(in_time).state == "SUCCESS"
    for uuid in too_late:
        error = cluster.ended(uuid).error
        assert error is not None
        assert (cluster.job(uuid).state, error.message) == ("REVOKED", "expired")
    assert cluster.runs("expired") == []
    cluster.check_final([*scheduled, *too_late, in_time])


@pytest.mark.parametrize("broker", [RABBITMQ, REDIS])
def test_queue_and_priority_reach_the_broker(
    make_cluster: MakeCluster, make_broker: Callable[[str], str], queue_name: str, broker: str
) -> None:
    cluster = make_cluster(broker, republish_seconds=600, queues=f"{queue_name}-a*")
    stack = Stack(cluster.processes, cluster.processes.start_web())
    apart = f"{queue_name}-apart"
    asked = {
        stack.dispatch("note", "b", options={"queue": apart, "priority": 3}): (apart, 3),
        stack.dispatch("note", "a", options={"queue": apart, "priority": 9}): (apart, 9),
        stack.dispatch("note", "c", options={"priority": 6}): (queue_name, 6),
        stack.dispatch("note", "d"): (queue_name, 0),
    }
    eventually(lambda: all(cluster.job(uuid).published for uuid in asked))
    found = {}
    with Connection(make_broker(broker), connect_timeout=5) as connection, connection.channel() as channel:
        for queue in (apart, queue_name):
            while (message := channel.basic_get(queue, no_ack=True)) is not None:
                found[message.headers["id"]] = (queue, message.properties.get("priority") or 0)
    # kombu inverts priorities on Redis, where the lowest number is the highest priority.
    assert found == {uuid: (queue, 9 - level if broker == REDIS else level) for uuid, (queue, level) in asked.items()}
    assert [asked[uuid] for uuid in found][:2] == [(apart, 9), (apart, 3)], "the higher priority comes out first"
