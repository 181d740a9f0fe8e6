"""A purged job over HTTP: 410 for callers who may see all jobs while it has a tombstone, and 404 for others."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pacifica.dispatcher.core.job import State, new_uuid, now
from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.purge import HOUR, put_tombstones
from pacifica.dispatcher.store.tokens import TokenStore

from ..eventually import eventually
from ..processes import Processes
from .conftest import start_stack
from .contract import filled
from .error_shape_test import Wrong, check
from .secured_stack import SecuredStack
from .stack import Stack

CONFIG = """
[dispatcher]
tasks = lab
lease_seconds = 0.6
[retention]
success_seconds = 1
"""


@pytest.fixture(scope="module")
def retaining(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredStack]:
    """A service that keeps successful jobs for a second."""
    with Processes(Path(tmp_path_factory.mktemp("retaining")), {"BROKER_URL": "database://"}) as processes:
        processes.write_config(CONFIG)
        stack = start_stack(processes)
        with closing(Database(f"sqliteext:///{processes.cwd}/db.sqlite3")) as database:
            yield SecuredStack(stack, JobStore(database), Tokens(TokenStore(database)))


@pytest.fixture(scope="module")
def stack(retaining: SecuredStack) -> Stack:
    """The service, for callers without a token; the fixture ``document`` uses it."""
    return retaining.stack


@pytest.fixture(scope="module")
def purged(retaining: SecuredStack) -> str:
    """The UUID of a job that the service has purged."""
    made = retaining.stack.request(
        "POST", "/dispatch/add", json={"args": [2, 2]}, headers={"Idempotency-Key": "monday"}
    )
    uuid = str(made.json()["uuid"])
    eventually(lambda: retaining.jobs.get(uuid) is None)
    return uuid


def about_a_job(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return path and method of each operation on one job."""
    paths = document["paths"].items()
    return [(path, method.upper()) for path, item in paths if "{uuid}" in path for method in item]


def test_service_purges_only_what_the_settings_say(retaining: SecuredStack) -> None:
    failed, waiting = retaining.stack.dispatch("fail", "on purpose"), retaining.stack.dispatch("add", 2, 2)
    retaining.stack.ended(failed)
    eventually(lambda: retaining.jobs.get(waiting) is None)
    assert retaining.stack.status(failed)["state"] == "FAILURE"
    assert retaining.jobs.events(waiting) == []


def test_routes_of_a_purged_job_are_410_and_of_an_unknown_job_404(
    retaining: SecuredStack, document: dict[str, Any], purged: str
) -> None:
    found = about_a_job(document)
    assert len(found) == 5
    for path, method in found:
        gone = retaining.stack.request(method, filled(path, purged))
        check(document, Wrong(path, method, filled(path, purged), 410, "purged-job"), gone)
        assert purged in gone.json()["detail"]
        unknown = new_uuid()
        check(
            document,
            Wrong(path, method, filled(path, unknown), 404, "unknown-job"),
            retaining.stack.request(method, filled(path, unknown)),
        )
    stream = retaining.stack.get(f"/status/{purged}/events", headers={"Accept": "text/event-stream"})
    assert stream.status_code == retaining.stack.get(f"/status/{purged}?wait=1").status_code == 410


@pytest.mark.parametrize(("scope", "own"), [("admin:add", False), ("admin", True)])
def test_limited_token_gets_the_same_404_for_purged_and_unknown_jobs(
    retaining: SecuredStack, document: dict[str, Any], purged: str, scope: str, own: bool
) -> None:
    token, unknown = retaining.token("small", scope, own=own), new_uuid()
    for path, method in about_a_job(document):
        answers = [retaining.ask(method, filled(path, uuid), token) for uuid in (purged, unknown)]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].text.replace(purged, unknown) == answers[1].text


def test_token_for_all_jobs_gets_410_for_a_purged_job(retaining: SecuredStack, purged: str) -> None:
    assert retaining.ask("GET", f"/status/{purged}", retaining.token("whole", "read")).status_code == 410


def test_repeated_key_of_a_purged_job_creates_no_second_job(retaining: SecuredStack, purged: str) -> None:
    headers = {"Idempotency-Key": "monday"}
    again = retaining.stack.request("POST", "/dispatch/add", json={"args": [2, 2]}, headers=headers)
    assert (again.status_code, again.json()["type"]) == (410, "urn:pacifica-dispatcher:problem:purged-job")
    assert purged in again.json()["detail"]
    other = retaining.stack.request("POST", "/dispatch/add", json={"args": [2, 3]}, headers=headers)
    assert other.status_code == 422


def test_workflow_step_that_was_purged_does_not_run_again(retaining: SecuredStack, purged: str) -> None:
    """A step whose report was lost runs again and dispatches the next step again, which ended long before."""
    code = "from pacifica.dispatcher.tasks import CELERY_APP as app; app.registry; add = app.tasks['add']"
    ran = retaining.stack.processes.run("-c", f"{code}; print(add.apply_async((2, 2), task_id='{purged}').id)")
    assert (ran.returncode, ran.stdout) == (0, f"{purged}\n"), ran.stderr
    assert retaining.jobs.get(purged) is None
    assert retaining.jobs.events(purged) == []


def test_repeated_batch_returns_the_uuids_of_its_purged_jobs(retaining: SecuredStack) -> None:
    def post() -> list[dict[str, str]]:
        items = [{"task": "add", "args": [1, 1]}]
        answer = retaining.stack.request("POST", "/dispatch", json=items, headers={"Idempotency-Key": "batch"})
        assert answer.status_code == 202
        found: list[dict[str, str]] = answer.json()["jobs"]
        return found

    first = post()
    eventually(lambda: retaining.jobs.get(first[0]["uuid"]) is None)
    assert post() == first
    assert retaining.stack.get(f"/status/{first[0]['uuid']}").status_code == 410


def test_retry_of_a_purged_job_keeps_its_replay_of(retaining: SecuredStack) -> None:
    old = retaining.job("add", "", state=State.SUCCESS, created=1, finished=1, eta=None, due=None)
    replay = retaining.job("add", "", replay_of=old)
    eventually(lambda: retaining.jobs.get(old) is None)
    assert retaining.stack.status(replay)["replay_of"] == old
    assert retaining.stack.get(f"/status/{old}").status_code == 410


def test_position_of_a_stream_survives_a_purge_of_earlier_events(retaining: SecuredStack, purged: str) -> None:
    place = retaining.stack.get("/events?after=0").json()["next"]
    uuid = retaining.stack.dispatch("add", 3, 3)
    events: list[dict[str, Any]] = eventually(lambda: retaining.stack.get(place).json()["events"])
    assert events[0]["job"] == uuid
    eventually(lambda: retaining.jobs.get(uuid) is None)
    following = retaining.stack.get(place).json()
    assert uuid not in {event["job"] for event in following["events"]}
    new = retaining.stack.dispatch("fail", "later")
    assert eventually(lambda: retaining.stack.get(following["next"]).json()["events"])[0]["job"] == new


def test_job_whose_tombstone_is_gone_is_unknown(tmp_path: Path) -> None:
    hours = {new_uuid(): 400 * 24, new_uuid(): 300 * 24}
    with (
        Processes(tmp_path, {"BROKER_URL": "database://"}) as processes,
        closing(Database(f"sqliteext:///{tmp_path}/db.sqlite3")) as database,
    ):
        processes.write_config(CONFIG)
        database.wait_until_up(1, 0.0)
        for uuid, age in hours.items():
            database.write(partial(put_tombstones, uuids=[uuid], at=now() - age * HOUR))
        stack = start_stack(processes)
        old, young = hours
        eventually(lambda: stack.get(f"/status/{old}").status_code == 404)
        assert stack.get(f"/status/{young}").status_code == 410
