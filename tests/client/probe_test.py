"""The stages of a probe job, against a running service and against a stub."""

import pytest

from pacifica.dispatcher.client import DispatcherClient, Refused, State

from .stub import JOB, Answer, stubbed

TIMES = {"published": None, "started": None, "finished": None}
PENDING = Answer(202, {**JOB, **TIMES, "state": "PENDING", "result": None})
SENT = Answer(200, {**JOB, **TIMES, "state": "PENDING", "result": None, "published": JOB["created"]})
REVOKED = Answer(200, {**JOB, **TIMES, "state": "REVOKED", "result": None})


def test_probe_job_reaches_all_stages_with_their_times(client: DispatcherClient) -> None:
    stages = list(client.probe_job(timeout=30))
    assert [(stage.name, stage.reached) for stage in stages] == [
        ("committed", True),
        ("sent", True),
        ("started", True),
        ("done", True),
    ]
    assert (stages[-1].job.state, stages[-1].job.result) == (State.SUCCESS, 4)
    assert all(stage.seconds is not None for stage in stages)


def test_missed_stage_is_the_last_and_the_job_is_cancelled() -> None:
    with stubbed([PENDING, SENT]) as stub, DispatcherClient(stub.url) as client:
        stages = list(client.probe_job(timeout=0.05))
        assert [(stage.name, stage.reached) for stage in stages] == [
            ("committed", True),
            ("sent", True),
            ("started", False),
        ]
        assert [request.method for request in stub.requests if request.method != "GET"] == ["POST", "DELETE"]


def test_job_that_ends_without_a_worker_has_not_started() -> None:
    with stubbed([PENDING, REVOKED]) as stub, DispatcherClient(stub.url) as client:
        *_, last = client.probe_job(timeout=30)
        assert (last.name, last.reached, last.job.state) == ("started", False, State.REVOKED)


def test_exception_of_pause_ends_the_probe() -> None:
    def give_up(_: float) -> None:
        raise InterruptedError

    with stubbed([PENDING]) as stub, DispatcherClient(stub.url) as client, pytest.raises(InterruptedError):
        list(client.probe_job(pause=give_up))


def test_refused_probe_job_raises_the_refusal() -> None:
    with stubbed([Answer(404, {"status": 404})]) as stub, DispatcherClient(stub.url) as client, pytest.raises(Refused):
        list(client.probe_job())
