"""Cancel, retry and Idempotency-Key over HTTP."""

from ..eventually import eventually
from .contract import UNKNOWN_UUID, problem
from .stack import Stack

LATER = {"countdown": 3600}


def test_waiting_job_is_revoked_at_once(stack: Stack) -> None:
    uuid = stack.dispatch("add", 2, 2, options=LATER)
    answer = stack.request("DELETE", f"/status/{uuid}")
    assert (answer.status_code, answer.json()["state"]) == (200, "REVOKED")
    assert stack.status(uuid)["error"] == {"type": "TaskRevokedError", "message": "cancelled", "at": None}


def test_running_job_is_stopped_by_its_worker(stack: Stack) -> None:
    uuid = stack.dispatch("sleep", 60)
    eventually(lambda: stack.status(uuid)["state"] == "STARTED")
    answer = stack.request("DELETE", f"/status/{uuid}")
    assert (answer.status_code, answer.json()["state"]) == (202, "STARTED")
    assert "is being cancelled: its worker was asked to stop it" in answer.json()["message"]
    assert stack.request("DELETE", f"/status/{uuid}").status_code == 202
    job = stack.ended(uuid)
    assert (job["state"], job["error"]["type"]) == ("REVOKED", "TaskRevokedError")
    assert stack.ended(stack.dispatch("add", 2, 2))["result"] == 4


def test_job_that_has_ended_cannot_be_cancelled(stack: Stack) -> None:
    uuid = stack.dispatch("add", 2, 2)
    stack.ended(uuid)
    found = problem(stack.request("DELETE", f"/status/{uuid}"), 409, "already-final")
    assert found["state"] == "SUCCESS"
    problem(stack.request("DELETE", f"/status/{UNKNOWN_UUID}"), 404, "unknown-job")


def test_retry_is_a_new_job_with_the_same_arguments(stack: Stack) -> None:
    old = stack.dispatch("add", 2, 3)
    stack.ended(old)
    answer = stack.request("POST", f"/status/{old}/retry")
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/status/{answer.json()['uuid']}"
    new = stack.ended(answer.json()["uuid"])
    assert (new["result"], new["args"], new["replay_of"]) == (5, [2, 3], old)
    assert new["uuid"] != old
    problem(stack.request("POST", f"/status/{UNKNOWN_UUID}/retry"), 404, "unknown-job")


def test_same_idempotency_key_and_body_is_the_same_job(stack: Stack) -> None:
    def post(key: str, *args: int) -> tuple[int, str]:
        answer = stack.request("POST", "/dispatch/add", json={"args": args}, headers={"Idempotency-Key": key})
        return answer.status_code, answer.json().get("uuid", "")

    first = post("monday", 1, 2)
    assert first[0] == 202
    stack.ended(first[1])
    assert post("monday", 1, 2) == first
    assert post("tuesday", 1, 2)[1] != first[1]
    assert post("monday", 1, 3) == (422, "")


def test_idempotency_key_with_another_body_is_refused(stack: Stack) -> None:
    keyed = {"headers": {"Idempotency-Key": "wednesday"}}
    stack.request("POST", "/dispatch/add", json={"args": [1, 2]}, **keyed)
    problem(stack.request("POST", "/dispatch/mul", json={"args": [1, 2]}, **keyed), 422, "key-reused")
    problem(
        stack.request("POST", "/dispatch/mul", json={"args": [1, 2]}, headers={"Idempotency-Key": "x" * 256}),
        400,
        "bad-request",
    )
