"""The client against a running service."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice

import pytest

from pacifica.dispatcher.client import (
    BatchItem,
    DispatcherClient,
    JobEvent,
    JobFailed,
    JobRevoked,
    Problem,
    Refused,
    RemoteJob,
    State,
    TimedOut,
    batch,
)

from ..e2e.stack import Stack


def adding(count: int, run: str) -> list[BatchItem]:
    """A batch of ``count`` items for the task ``add``, with the label ``run``."""
    return [{"task": "add", "args": [n, n], "options": {"labels": {"run": run}}} for n in range(count)]


def test_result_is_the_return_value_of_the_task(client: DispatcherClient) -> None:
    job = client.dispatch("add", 2, y=2, options={"labels": {"run": "one"}, "priority": 9})
    assert job.seen is not None
    assert job.seen.state is State.PENDING
    assert job.result(30) == 4
    status = job.status()
    assert (status.args, status.kwargs, status.labels, status.attempt) == ([2], {"y": 2}, {"run": "one"}, 1)
    assert status.final
    assert abs((datetime.now(UTC) - status.created).total_seconds()) < 60
    assert status.seconds is not None
    assert status.document["priority"] == 9


def test_failed_job_raises_its_type_and_message(client: DispatcherClient) -> None:
    with pytest.raises(JobFailed, match=r"\(fail\) failed at \S+builtin_tasks\.py:\d+: RuntimeError: Oh no\.") as error:
        client.dispatch("fail", "Oh no.").result(30)
    assert (error.value.type, error.value.message) == ("RuntimeError", "Oh no.")
    assert error.value.job.state is State.FAILURE


def test_wait_ends_at_its_timeout_and_the_job_goes_on(client: DispatcherClient) -> None:
    job = client.dispatch("add", 2, 2, options={"countdown": 600})
    with pytest.raises(TimedOut, match=r"is still PENDING after 0\.2 s") as error:
        job.wait(0.2)
    assert isinstance(error.value, TimeoutError)
    assert error.value.job == job.status()


def test_cancelled_job_has_no_result_and_can_be_cancelled_again(client: DispatcherClient) -> None:
    job = client.dispatch("add", 2, 2, options={"countdown": 600})
    assert job.cancel().state is State.REVOKED
    assert job.cancel().state is State.REVOKED
    with pytest.raises(JobRevoked, match="was revoked"):
        job.result()
    ended = client.dispatch("add", 1, 1)
    ended.wait(30)
    with pytest.raises(Refused, match="has ended as SUCCESS") as error:
        ended.cancel()
    assert (error.value.status, error.value.code) == (409, "already-final")


def test_retry_makes_one_new_job_per_idempotency_key(client: DispatcherClient) -> None:
    job = client.dispatch("mul", 6, 7)
    first, again = (job.retry(idempotency_key=job.uuid) for _ in range(2))
    assert first == again
    assert first != job.retry()
    assert (first.result(30), first.status().replay_of) == (42, job.uuid)


def test_invalid_request_is_refused_before_a_job_exists(client: DispatcherClient) -> None:
    with pytest.raises(Refused, match=r"Did you mean add") as unknown:
        client.dispatch("ad", 2, 2)
    assert unknown.value.status == 404
    with pytest.raises(Refused) as missing:
        client.dispatch("add", 2, options={"priority": 3})
    assert [(fault.where, fault.message) for fault in missing.value.errors] == [("y", "is missing")]
    with pytest.raises(Refused) as option:
        client.dispatch("add", 2, 2, options={"priority": 10})
    assert option.value.code == "bad-options"
    with pytest.raises(ValueError, match="not JSON"):
        client.dispatch("add", object(), 2)
    with pytest.raises(Refused) as nowhere:
        client.job("01a20a87-952e-7637-b259-b34fb625e63a").status()
    assert nowhere.value.code == "unknown-job"


def test_arguments_may_have_the_names_of_client_parameters(client: DispatcherClient) -> None:
    with pytest.raises(Refused) as error:
        client.dispatch("echo", self=1, task=2)
    assert {fault.where for fault in error.value.errors} == {"self", "task", "value"}
    assert client.dispatch_call("echo", kwargs={"value": {"__type__": "datetime"}}).result(30) == {
        "__type__": "datetime"
    }


def test_batch_yields_ordered_outcomes_and_doubles_no_job(
    client: DispatcherClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MOST_ITEMS", 10)
    items: list[BatchItem] = adding(21, "batch")
    items[7] = {"task": "nothing"}
    first, again = (list(client.batch(iter(items), idempotency_key="sweep")) for _ in range(2))
    assert [place for place, one in enumerate(first) if isinstance(one, Problem)] == [7]
    assert first == again
    assert len({one.uuid for one in first if isinstance(one, RemoteJob)}) == 20
    found = list(client.search(label={"run": "batch"}))
    assert {job.uuid for job in found} == {one.uuid for one in first if isinstance(one, RemoteJob)}
    items[7] = adding(1, "batch")[0]
    with pytest.raises(Refused) as error:
        list(client.batch(items, idempotency_key="sweep"))
    assert error.value.code == "key-reused"


def test_search_reads_all_pages(client: DispatcherClient, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [one for one in client.batch(adding(7, "pages")) if isinstance(one, RemoteJob)]
    monkeypatch.setattr("pacifica.dispatcher.client.client.PAGE", 3)
    assert list(client.search(label="run:pages")) == jobs[::-1]
    assert list(client.search(label="run:pages", limit=4)) == jobs[:2:-1]


def test_batch_without_a_valid_item_yields_a_problem_for_each(client: DispatcherClient) -> None:
    found = list(client.batch([{"task": "nothing"}, {"task": "add", "args": [1]}]))
    assert [one.code for one in found if isinstance(one, Problem)] == ["unknown-task", "bad-arguments"]
    assert list(client.batch([])) == []


def test_search_yields_jobs_newest_first_with_their_status(client: DispatcherClient) -> None:
    jobs = [client.dispatch("add", n, 1, options={"labels": {"run": "search", "n": str(n)}}) for n in range(3)]
    for job in jobs:
        job.wait(30)
    found = list(client.search(label={"run": "search", "n": None}, state=["success", "FAILURE"], since=600))
    assert found == jobs[::-1]
    assert [job.seen.result for job in found if job.seen] == [3, 2, 1]
    assert list(client.search(label="run:search", limit=2)) == found[:2]
    assert list(client.search(label=["run:search", "n:0"], task="add")) == found[2:]
    assert list(client.search(limit=0)) == []


def test_events_of_a_job_end_with_the_job(client: DispatcherClient) -> None:
    job = client.dispatch("add", 2, 2)
    events = list(job.events())
    assert [event.kind for event in events] == ["PENDING", "STARTED", "SUCCESS"]
    assert job.history() == events
    assert list(job.events(events[0].id)) == events[1:]
    assert list(client.history(events[0].id - 1))[:3] == events


def test_events_of_all_jobs_arrive_as_they_happen(client: DispatcherClient) -> None:
    begin = client.dispatch("add", 1, 1).history()[0].id
    job = client.dispatch("add", 2, 2)
    seen: list[JobEvent] = []
    for event in client.events(begin):
        seen.append(event)
        if (event.job, event.kind) == (job.uuid, "SUCCESS"):
            break
    assert [event.kind for event in seen if event.job == job.uuid] == ["PENDING", "STARTED", "SUCCESS"]


def test_threads_may_share_a_client(client: DispatcherClient) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda n: client.dispatch("add", n, n).result(30), range(16))) == [
            2 * n for n in range(16)
        ]
    assert threading.active_count() < 16


def test_service_describes_itself(client: DispatcherClient, stack: Stack) -> None:
    add = client.task("add")
    assert add in client.tasks()
    assert set(add.arguments["properties"]) == {"x", "y"}
    assert client.openapi()["openapi"].startswith("3.1")
    assert (client.ready().ready, client.ready().document["database"]) == (True, "ok")
    with DispatcherClient(stack.url, token="pd_nonsense") as stranger, pytest.raises(Refused) as error:
        list(islice(stranger.search(), 1))
    assert error.value.status == 401
