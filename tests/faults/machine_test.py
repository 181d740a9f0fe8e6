"""The clock of the machine jumps."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from ..e2e.stack import Stack
from ..eventually import eventually
from .cluster import PROGRAMS, Cluster, MakeCluster
from .servers import cannot_be_tested

HOUR = 3600


@dataclass
class Clock:
    """The wall clock of the processes that have its ``env``; their monotonic clock is unchanged."""

    file: Path
    library: str

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that uses this clock."""
        return {
            "LD_PRELOAD": self.library,
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": str(self.file.parent),
        }

    def jump(self, seconds: int) -> None:
        """Set the clock so many seconds off the real time."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.rename(self.file)


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Clock]:
    """A clock that a test may set."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        cannot_be_tested("no libfaketime: install the package faketime")
    (tmp_path / "clock").mkdir()
    shutil.copy(PROGRAMS / "sitecustomize.py", tmp_path / "clock")
    made = Clock(tmp_path / "clock" / "offset", str(found[0]))
    made.jump(0)
    return made


def beats(cluster: Cluster) -> int:
    """Return the sum of the workers' heartbeats."""
    return sum(cluster.workers.beats().values())


@pytest.mark.parametrize(("jump", "broker"), [(HOUR, "redis"), (HOUR, "database"), (-HOUR, "database")])
def test_clock_that_jumps_an_hour_loses_and_doubles_no_job(
    make_cluster: MakeCluster, clock: Clock, jump: int, broker: str
) -> None:
    cluster = make_cluster(broker, lease_seconds=3)
    stack = Stack(cluster.processes, cluster.processes.start_web(env=clock.env))
    cluster.worker(env=clock.env)
    held = [stack.dispatch("hold", "held") for _ in range(2)]
    cluster.until_run("held", 2)
    waiting = [stack.dispatch("double", number) for number in range(5)]
    soon = stack.dispatch("note", "soon", options={"countdown": HOUR - 1200})
    later = stack.dispatch("note", "later", options={"countdown": 2 * HOUR})
    seen = beats(cluster)
    clock.jump(jump)
    eventually(lambda: beats(cluster) >= seen + 6, 30)
    assert len(cluster.runs("held")) == 2
    after = [stack.dispatch("double", number) for number in range(5)]
    at_its_time = stack.dispatch("note", "at its time", options={"countdown": 2})
    cluster.release("held")
    ended = [*held, *waiting, *after, at_its_time] + ([soon] if jump > 0 else [])
    for uuid in ended:
        assert cluster.ended(uuid).state == "SUCCESS"
    record = cluster.check_final(ended)
    assert {record.times_run(uuid) for uuid in ended} == {1}
    assert len(cluster.runs("held")) == 2
    assert [cluster.job(uuid).state for uuid in {soon, later} - set(ended)] == ["PENDING"] * (1 if jump > 0 else 2)
    job = record.jobs[at_its_time]
    assert job.started is not None
    assert job.eta is not None
    assert job.started >= job.eta


def test_jobs_that_wait_for_a_broker_are_published_after_a_clock_jump(
    make_cluster: MakeCluster, own_broker: Callable[[str], "object"], clock: Clock
) -> None:
    """The due time in the outbox is of the wall clock, and must not be an hour away."""
    server = own_broker("redis")
    cluster = make_cluster(server.url)
    stack = Stack(cluster.processes, cluster.processes.start_web(env=clock.env))
    server.stop()
    uuids = [stack.dispatch("double", number) for number in range(5)]
    eventually(lambda: stack.get("/health/ready").json()["broker"] != "ok", 20)
    clock.jump(-HOUR)
    uuids += [stack.dispatch("double", number) for number in range(5)]
    server.start()
    cluster.worker(env=clock.env)
    for uuid in uuids:
        assert cluster.ended(uuid).state == "SUCCESS"
    cluster.check_final(uuids)


def test_job_of_a_killed_process_is_published_after_a_clock_jump(make_cluster: MakeCluster, clock: Clock) -> None:
    cluster = make_cluster()
    once = cluster.processes.cwd / "once"
    once.touch()
    env = clock.env | {"DISPATCHER_FAILPOINTS": f"after-commit@{once}"}
    web = cluster.processes.start_web(env=env)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{web.url}/dispatch/note/a", timeout=30)
    clock.jump(-HOUR)
    cluster.worker(env=clock.env)
    eventually(lambda: cluster.runs("a"), 20)
