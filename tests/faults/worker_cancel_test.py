"""Cancel jobs that wait, that run, and that end at the same moment."""

import random
from collections import Counter

import pytest
import requests

from pacifica.dispatcher.core.errors import AlreadyFinal
from pacifica.dispatcher.core.job import now
from pacifica.dispatcher.core.permissions import EVERY_JOB
from pacifica.dispatcher.core.registry import Registry
from pacifica.dispatcher.service.new_job import JobFactory
from pacifica.dispatcher.service.verbs import Service
from pacifica.dispatcher.store.jobs import JobStore

from ..eventually import eventually
from ..store.conftest import a_waiting
from ..store.job_steps import claim, succeed, terminate
from .cluster import MakeCluster


def delete(url: str, uuid: str) -> tuple[int, str]:
    """Send DELETE; return the status of the answer and the job's state."""
    answer = requests.delete(f"{url}/status/{uuid}", timeout=30)
    return answer.status_code, str(answer.json()["state"])


def test_job_cancelled_while_no_worker_is_up_never_runs(make_cluster: MakeCluster) -> None:
    cluster = make_cluster("redis")
    web = cluster.processes.start_web()
    uuid = cluster.add("note", "a")
    eventually(lambda: cluster.job(uuid).published)
    later = cluster.add("note", "b", due=now() + 1_500_000, eta=now() + 1_500_000)
    assert [delete(web.url, one) for one in (uuid, later)] == [(200, "REVOKED")] * 2
    cluster.worker()
    eventually(lambda: "DROPPED" in cluster.history(uuid))
    assert cluster.ended(cluster.add("note", "c", due=now() + 1_500_000)).result == "c"
    assert (cluster.runs("a"), cluster.runs("b"), cluster.history(later)) == ([], [], ["PENDING", "REVOKED"])
    assert delete(web.url, uuid) == (409, "REVOKED")
    cluster.check_final([uuid, later])


@pytest.mark.parametrize("broker", ["rabbitmq", "redis", "database"])
def test_cancelled_running_job_is_stopped(make_cluster: MakeCluster, broker: str) -> None:
    cluster = make_cluster(broker, lease_seconds=3)
    worker = cluster.worker()
    uuids = [cluster.add(task, "a") for task in ("hold", "async_hold")]
    cluster.until_run("a", 2)
    assert [cluster.jobs.ask_to_cancel(uuid, at=now()) for uuid in uuids] == [True, True]
    assert [cluster.ended(uuid).state for uuid in uuids] == ["REVOKED"] * 2
    assert [cluster.history(uuid) for uuid in uuids] == [["PENDING", "STARTED", "CANCEL", "REVOKED"]] * 2
    eventually(lambda: len(cluster.runs("a-left")) == 2, message="the bodies could not clean up")
    assert cluster.ended(cluster.add("note", "n")).result == "n"
    assert worker.popen.poll() is None
    cluster.check_final(uuids)


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_cancelled_job_that_cannot_be_stopped_keeps_its_real_outcome(make_cluster: MakeCluster, pool: str) -> None:
    cluster = make_cluster()
    cluster.worker("-P", pool, concurrency=1)
    uuid = cluster.add("hold", "a")
    cluster.until_run("a")
    assert cluster.jobs.ask_to_cancel(uuid, at=now())
    (holder, beat), *_ = cluster.workers.beats().items()
    eventually(lambda: cluster.workers.beats()[holder] > beat + 3)
    cluster.release("a")
    assert (cluster.ended(uuid).state, cluster.job(uuid).attempt) == ("SUCCESS", 1)
    assert cluster.ended(cluster.add("note", "n")).result == "n"
    cluster.check_final([uuid])


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_cancelled_job_that_retries_is_revoked(make_cluster: MakeCluster, pool: str) -> None:
    cluster = make_cluster()
    cluster.worker("-P", pool, concurrency=1)
    uuid = cluster.add("insist", "a")
    cluster.until_run("a")
    assert cluster.jobs.ask_to_cancel(uuid, at=now())
    cluster.release("a")
    assert (cluster.ended(uuid).state, len(cluster.runs("a"))) == ("REVOKED", 1)
    cluster.check_final([uuid])


def test_cancelled_job_of_a_dead_worker_is_revoked(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(lease_seconds=1.5)
    first = cluster.worker("-P", "threads")
    uuid = cluster.add("hold", "a")
    cluster.until_run("a")
    assert cluster.jobs.ask_to_cancel(uuid, at=now())
    first.kill()
    cluster.worker()
    assert (cluster.ended(uuid).state, len(cluster.runs("a"))) == ("REVOKED", 1)
    cluster.check_final([uuid])


class EndsAfterCancel(JobStore):
    """A store in which every job ends directly after a request to stop it."""

    ends_as = "SUCCESS"

    def ask_to_cancel(self, uuid: str, *, at: int) -> bool:
        asked = super().ask_to_cancel(uuid, at=at)
        if self.ends_as == "SUCCESS":
            succeed(self, uuid, "t", result=1, at=at)
        else:
            terminate(self, uuid, "t")
        return asked


def test_cancel_of_a_job_that_ends_meanwhile_reports_its_outcome(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    jobs = EndsAfterCancel(cluster.database)
    service = Service(Registry([]), jobs, a_waiting(cluster.database), JobFactory(max_attempts=3, keep_keys=0))
    uuids = [cluster.add("note", "a") for _ in range(2)]
    for uuid in uuids:
        claim(jobs, uuid, "t")
    with pytest.raises(AlreadyFinal) as refused:
        service.cancel(uuids[0], EVERY_JOB)
    assert refused.value.state == "SUCCESS"
    jobs.ends_as = "REVOKED"
    assert service.cancel(uuids[1], EVERY_JOB).state == "REVOKED"
    with pytest.raises(AlreadyFinal):
        service.cancel(uuids[1], EVERY_JOB)


RACES = 120


@pytest.mark.parametrize(("broker", "database"), [("redis", "postgresql"), ("database", "sqlite")])
def test_cancel_and_finish_at_the_same_moment_agree(make_cluster: MakeCluster, broker: str, database: str) -> None:
    cluster = make_cluster(broker, database, lease_seconds=0.9, relay_interval=0.02)
    web = cluster.processes.start_web()
    cluster.worker(concurrency=2)
    chance = random.Random(23)
    answers: dict[str, tuple[int, str]] = {}
    args_of: dict[str, list[str | float]] = {}
    for number in range(RACES):
        task = chance.choice(["note", "note", "nap"])
        args = [f"r{number % 10}"] if task == "note" else [chance.choice([0.0, 0.02, 0.15])]
        uuid = requests.post(f"{web.url}/dispatch/{task}", json={"args": args}, timeout=30).json()["uuid"]
        moment = chance.choice(["at once", "started", "started", "published"])
        if moment == "started":
            eventually(lambda uuid=uuid: "STARTED" in cluster.history(uuid))
        elif moment == "published":
            eventually(lambda uuid=uuid: cluster.job(uuid).published)
        args_of[uuid] = args
        answers[uuid] = delete(web.url, uuid)
    met = Counter()
    for uuid, (status, state) in answers.items():
        job = cluster.ended(uuid)
        met[status, job.state.value] += 1
        if status == 200:
            assert (state, job.state) == ("REVOKED", "REVOKED"), (uuid, cluster.history(uuid))
        elif status == 409:
            assert (state, job.state) == ("SUCCESS", "SUCCESS"), (uuid, cluster.history(uuid))
        else:
            # The worker stopped the job, or its body ended before that.
            assert (status, state) == (202, "STARTED"), (uuid, state, cluster.history(uuid))
            moves = [kind for kind in cluster.history(uuid) if kind not in {"LATE", "DROPPED"}]
            assert moves == ["PENDING", "STARTED", "CANCEL", job.state]
            assert job.state in {"REVOKED", "SUCCESS"}
            assert job.result == (args_of[uuid][0] if job.state == "SUCCESS" else None)
    cluster.check_final(answers)
    assert {status for status, _ in met} == {200, 202, 409}, met
