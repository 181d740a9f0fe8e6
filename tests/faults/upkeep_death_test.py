"""The process that looks after all others' jobs dies together with one of them."""

import signal
import time
from contextlib import closing

from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.leader import ElectionStore

from ..eventually import eventually
from .bench import Make, is_of

LEASE = 3.0


def test_a_killed_web_process_that_held_the_upkeep_delays_the_rescue_of_a_killed_worker_by_nothing(
    make_bench: Make,
) -> None:
    bench = make_bench(lease_seconds=LEASE)
    web = bench.processes.start_web()
    with closing(Database(bench.database_url)) as database:
        upkeep = ElectionStore(database, "upkeep")
        first = eventually(upkeep.standing)
        killed, second = bench.worker(concurrency=1), bench.worker(concurrency=1)
        uuid = bench.add("hold", "a")
        bench.until_run("a")
        if not is_of(killed, bench.runs("a")[0]):
            killed, second = second, killed
        known = bench.workers.beats()
        eventually(lambda: bench.workers.beats() != known)
        web.kill()
        killed.kill()
        begin = time.monotonic()
        eventually(lambda: "LOST" in bench.history(uuid), 4 * LEASE)
        took = time.monotonic() - begin
        bench.let_go("a")
        assert bench.ended(uuid).attempt == 2
        last = upkeep.standing()
        assert last is not None
        assert last.holder != first.holder
        second.send(signal.SIGTERM)
        assert second.wait() == 0
        assert upkeep.standing() is None, "who stops leaves the upkeep to others at once"
    assert took < LEASE * 4 / 3 + LEASE / 2, "as long as it takes without any election: the lease, and two looks"
