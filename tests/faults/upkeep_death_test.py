"""The leader dies together with a worker."""

import signal
import time
from contextlib import closing

from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.leader import ElectionStore

from ..eventually import eventually
from .cluster import MakeCluster, belongs_to

LEASE = 3.0


def test_killed_leader_does_not_delay_the_rescue_of_a_killed_worker(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(lease_seconds=LEASE)
    web = cluster.processes.start_web()
    with closing(Database(cluster.database_url)) as database:
        upkeep = ElectionStore(database, "upkeep")
        first = eventually(upkeep.leadership)
        killed, second = cluster.worker(concurrency=1), cluster.worker(concurrency=1)
        uuid = cluster.add("hold", "a")
        cluster.until_run("a")
        if not belongs_to(killed, cluster.runs("a")[0]):
            killed, second = second, killed
        known = cluster.workers.beats()
        eventually(lambda: cluster.workers.beats() != known)
        web.kill()
        killed.kill()
        begin = time.monotonic()
        eventually(lambda: "LOST" in cluster.history(uuid), 4 * LEASE)
        took = time.monotonic() - begin
        cluster.release("a")
        assert cluster.ended(uuid).attempt == 2
        last = upkeep.leadership()
        assert last is not None
        assert last.holder != first.holder
        second.send(signal.SIGTERM)
        assert second.wait() == 0
        assert upkeep.leadership() is None, "a leader that stops gives up the leadership at once"
    assert took < LEASE * 4 / 3 + LEASE / 2, (
        "it must not take longer than without an election: the lease and two checks"
    )
