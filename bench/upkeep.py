"""One round of the upkeep, in a process of its own: ``python -m bench.upkeep``, in a service's folder.

It prints milliseconds as JSON: ``idle``, the median of rounds in which there is nothing to
do, and ``rescue``, the one in which the jobs of a dead worker are put back, from the look that finds it dead. The
wait for the lease, which comes before that, is none here.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any, cast

from pacifica.dispatcher.config.load import load_settings
from pacifica.dispatcher.container import Container
from pacifica.dispatcher.store.event_counts import EventCountStore
from pacifica.dispatcher.store.leader import ElectionStore
from pacifica.dispatcher.upkeep.event_counter import EventCounter
from pacifica.dispatcher.upkeep.leader_election import Election
from pacifica.dispatcher.upkeep.lost_jobs import LostJobs
from pacifica.dispatcher.upkeep.lost_messages import LostMessages
from pacifica.dispatcher.upkeep.maintenance import Upkeep

LONG = 3600.0
IDLE = 5


def main() -> None:
    """With the configuration of the working directory."""
    container = Container(lambda: load_settings(Path("config.ini")))
    lease = float(sys.argv[1])
    upkeep = _upkeep(container, lease=LONG)
    upkeep.round()  # Statements are prepared, pages read, statistics had.
    idle = statistics.median(_timed(upkeep) for _ in range(IDLE))
    waiting = _upkeep(container, lease=lease)
    waiting.round()
    time.sleep(lease * 1.5)
    waiting.round()
    rescue = _timed(waiting)
    print(json.dumps({"idle": idle, "rescue": rescue}))  # noqa: T201 - its answer


def _upkeep(container: Container, lease: float) -> Upkeep:
    own = container.settings.dispatcher
    return Upkeep(
        container.jobs,
        election=Election(ElectionStore(container.database, "bench"), lease=LONG),
        lost_jobs=LostJobs(container.workers, container.jobs, lease=lease),
        lost_messages=LostMessages(container.outbox, cast("Any", _Full()), republish=0.0),
        event_counter=EventCounter(EventCountStore(container.database)),
        pruner=container.pruner,
        interval=LONG,
        keep_keys=own.idempotency_seconds,
    )


def _timed(upkeep: Upkeep) -> float:
    begun = time.perf_counter()
    upkeep.round()
    return (time.perf_counter() - begun) * 1e3


class _Full:
    """A broker that has lost nothing, and answers at once."""

    def queue_of(self, task: str, queue: str | None) -> str | None:
        return queue or "dispatcher"

    def ready(self, name: str) -> int | None:
        return 1_000_000


if __name__ == "__main__":
    main()
