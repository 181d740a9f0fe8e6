"""The overview of an empty service, a busy one and a failing one, and for callers who may not see every job."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import parse_qs

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.core.job import JobError, now
from pacifica.dispatcher.dashboard.activity import SPANS
from pacifica.dispatcher.dashboard.attention import judge
from pacifica.dispatcher.monitoring import health
from pacifica.dispatcher.monitoring.health import Part, ReadinessReport, Workers
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.present_jobs import PresentJobs
from pacifica.dispatcher.store.workers import Serving, WorkerStore

from ..store.job_minutes_test import count
from ..store.job_steps import add, claim, fail, succeed
from .pages_client import Answer, PagesClient

Browse = Callable[..., PagesClient]
SECOND = 1_000_000
PATH = "192.0.2.1"


@pytest.fixture(autouse=True)
def fresh_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request looks at the health again."""
    monkeypatch.setattr(health, "KEPT", 0.0)


def part(answer: Answer, name: str) -> str:
    """The text of a part of the page, in one line."""
    found = re.search(
        rf'<(section|p)[^>]* id="{name}".*?</\1>|<(section|p) id="{name}".*?</\2>', answer.text, re.DOTALL
    )
    return "" if found is None else " ".join(unescape(re.sub(r"<[^>]+>", " ", found[0])).split())


def alive(record: Database, client: PagesClient, holder: str = "h", name: str = "celery@lab", *queues: str) -> None:
    """A worker whose heartbeat this process has seen to move."""
    client.monitor.health.look()
    WorkerStore(record).beat(holder, name, at=now(), serving=Serving(2, queues))
    client.monitor.health.look()


def end(client: PagesClient, *, task: str = "add", who: str = "", fails: bool = False, **times: int) -> str:
    """A job that has ended; by default it was created two seconds ago, and started a second ago."""
    at = now()
    job = add(client.jobs, task=task, caller=who, created=at - times.get("created", 2) * SECOND)
    claim(client.jobs, job, job.uuid, at=at - times.get("started", 1) * SECOND)
    error = JobError("ValueError", "no <b>peak</b>\nin the scan")
    assert fail(client.jobs, job, job.uuid, error=error, at=at) if fails else succeed(client.jobs, job, job.uuid, at=at)
    return job.uuid


def test_empty_service_says_what_to_do_first(browse: Browse) -> None:
    answer = browse(anonymous="loopback").get("/")
    assert (answer.status, answer.title) == (200, "Overview · Pacifica Dispatcher")
    assert "No job has run here yet." in part(answer, "first")
    assert "curl http://localhost/dispatch/add" in part(answer, "first")
    assert 'href="/ui/tasks"' in answer.text
    assert "<svg" not in answer.text


def test_command_for_a_job_stays_after_the_trial_job(browse: Browse, record: Database) -> None:
    client = browse(anonymous="loopback")
    end(client)
    count(record)
    answer = client.get("/")
    assert "Only one job has run here so far." in part(answer, "first")
    assert "curl" in part(answer, "first")
    assert "1 job ended in the last hour" in part(answer, "history")
    end(client)
    assert part(client.get("/"), "first") == ""


def test_first_job_is_not_offered_to_a_caller_who_may_not_dispatch(browse: Browse) -> None:
    client = browse(anonymous="none")
    reader, dispatcher = client.token("ann", "read"), client.token("bob", "read", "dispatch")
    assert "curl" not in part(client.get("/", reader), "first")
    assert "Authorization: Bearer" in part(client.get("/", dispatcher), "first")
    assert "curl" not in part(browse(mode="read-only", anonymous="loopback").get("/"), "first")


def test_service_without_worker_says_so_first_and_what_to_do(browse: Browse) -> None:
    answer = browse(anonymous="loopback").get("/")
    verdict = part(answer, "verdict")
    assert "▲ Overview: No worker is alive." in verdict
    assert "▲ Accepted jobs wait for one." in verdict
    assert verdict.count("No worker is alive") == 1
    assert "Start a worker. celery -A pacifica.dispatcher.tasks worker" in verdict


def test_queue_that_no_worker_serves_is_named_once_the_queues_of_all_workers_are_known(
    browse: Browse, record: Database
) -> None:
    client = browse(anonymous="loopback")
    for queue in ("lab images", "dispatcher"):
        add(client.jobs, target_queue=queue, created=now() - 9 * SECOND, due=None, published=now())
    alive(record, client, "a", "celery@a", "dispatcher")
    answer = client.get("/")
    assert "▲ Overview: 1 job waits in the queue lab images, which no worker serves." in part(answer, "verdict")
    assert "celery -A pacifica.dispatcher.tasks worker -Q 'lab images'" in part(answer, "verdict")
    alive(record, client, "b", "celery@b")
    assert "Everything works." in part(client.get("/"), "verdict")
    alive(record, client, "b", "celery@b", "lab images")
    assert "Everything works." in part(client.get("/"), "verdict")


def test_busy_service_shows_numbers_queues_and_workers(browse: Browse, record: Database) -> None:
    client = browse(anonymous="loopback")
    alive(record, client)
    for _ in range(3):
        end(client)
    running = add(client.jobs, task="lab.long")
    claim(client.jobs, running, "t", holder="h", at=now() - 90 * SECOND)
    add(client.jobs, target_queue="fast", created=now() - 300 * SECOND, due=None, published=now())
    count(record)
    answer = client.get("/")
    assert answer.title == "Overview · Pacifica Dispatcher"
    assert "✓ Overview: Everything works." in part(answer, "verdict")
    assert part(answer, "now") == "ended in the last hour 3 of them failed 0 waiting 1 running 1 workers alive 1"
    assert "3 jobs ended in the last hour: 3 succeeded." in part(answer, "history")
    assert re.search(r"fast 1 5 min \d\d s$", part(answer, "queues"))
    assert re.search(r"celery@lab ● (now|\d+ s ago) 1 of 2 busy lab\.long for 1 min \d\d s$", part(answer, "workers"))
    assert f'href="/ui/jobs/{running.uuid}"' in answer.text
    assert "No job has failed." in part(answer, "failures")
    assert answer.text.count('<rect class="success"') in {1, 2}, "a minute may have begun between two jobs"
    for state in ("PENDING&amp;state=RETRY", "STARTED"):
        assert f'href="/ui/jobs?state={state}">1</a>' in answer.text
        assert client.get(f"/ui/jobs?state={unescape(state)}").status == 200


def test_failing_service_shows_which_tasks_and_links_to_their_jobs(browse: Browse, record: Database) -> None:
    client = browse(anonymous="loopback")
    alive(record, client)
    first = [end(client, fails=True, created=600, started=400) for _ in range(2)]
    end(client, task="lab.fit & co", fails=True)
    end(client)
    count(record)
    answer = client.get("/")
    assert answer.title == "(3 failed) Overview · Pacifica Dispatcher"
    assert "▲ Overview: 3 jobs failed in the last hour. The service works." in part(answer, "verdict")
    assert "Failed in the last hour: 2 × add , 1 × lab.fit & co" in part(answer, "verdict")
    link, other = [parse_qs(unescape(found)) for found in re.findall(r'/ui/jobs\?(state=[^"]*task[^"]*)"', answer.text)]
    assert (link["state"], link["task"], other["task"]) == (["FAILURE"], ["add"], ["lab.fit & co"])
    listed = client.get(f"/status?state=FAILURE&task=add&since={link['since'][0]}", HTTP_ACCEPT="application/json")
    assert all(uuid in listed.text for uuid in first), "jobs that were created more than an hour ago count, too"
    assert "of them failed 3 75 %" in part(answer, "now")
    assert "ValueError : no <b>peak</b> in the scan" in part(answer, "failures")
    assert "<b>peak" not in answer.text
    assert all(f'id="job-{uuid}"' in answer.text for uuid in first)


def test_failures_are_named_before_they_are_counted(browse: Browse, record: Database) -> None:
    client = browse(anonymous="loopback")
    end(client, fails=True)
    count(record)
    uuid = end(client, fails=True, created=7200)
    answer = client.get("/")
    assert answer.title == "(2 failed) Overview · Pacifica Dispatcher"
    for name in SPANS:
        same = client.get(f"/?span={name}")
        assert "2 of them failed 2 100 %" in part(same, "now"), "the verdict and the charts have the same failures"
        assert ": 2 failed." in part(same, "history")
    (since,) = re.findall(r'/ui/jobs\?[^"]*since=([^"&]*)', answer.text)
    assert uuid in client.get(f"/status?state=FAILURE&task=add&since={since}", HTTP_ACCEPT="application/json").text


def test_failures_of_earlier_hours_are_not_of_the_last_one(browse: Browse, record: Database) -> None:
    client, at = browse(anonymous="loopback"), now() - 3700 * SECOND
    job = add(client.jobs, created=at)
    claim(client.jobs, job, "t", at=at)
    fail(client.jobs, job, "t", at=at)
    count(record)
    answer = client.get("/")
    assert answer.title == "Overview · Pacifica Dispatcher"
    assert job.uuid in answer.text


def test_charts_of_other_spans_have_links_and_their_own_columns(browse: Browse, record: Database) -> None:
    client = browse(anonymous="loopback")
    end(client)
    count(record)
    for name, span in SPANS.items():
        answer = client.get(f"/?span={name}")
        assert f'<a href="/?span={name}" aria-current="true">' in answer.text
        assert f"1 job ended in {span.words}: 1 succeeded." in part(answer, "history")
        assert answer.text.count('<rect class="hit"') == 3 * span.columns


@pytest.mark.parametrize("query", ["span=month", "span=", "span=day&span=week", "spam=day"])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_other_spans_are_refused(browse: Browse, query: str, accept: str) -> None:
    assert browse(anonymous="loopback").get(f"/?{query}", HTTP_ACCEPT=accept).status == 400


def test_json_clients_get_the_service_document_with_any_span(browse: Browse) -> None:
    client = browse(anonymous="loopback")
    documents = [client.get(path, HTTP_ACCEPT="*/*").text for path in ("/", "/?span=week")]
    assert documents[0] == documents[1]
    assert documents[0].startswith("{")


def test_caller_of_some_tasks_sees_nothing_of_others(browse: Browse, record: Database) -> None:
    client = browse(anonymous="none")
    token = client.token("ann", "read:lab.*")
    alive(record, client)
    alive(record, client, "g", "celery@other")
    end(client, task="lab.fit", fails=True)
    for _ in range(4):
        end(client, task="secret.task", fails=True)
    for task, holder in (("lab.fit", "h"), ("secret.task", "g")):
        claim(client.jobs, add(client.jobs, task=task), "t", holder=holder, worker=f"celery@{holder}")
        add(client.jobs, task=task, target_queue=f"queue-of-{task}")
    waiting = add(client.jobs, task="secret.task")
    client.jobs.lacks_task(waiting.uuid, task="secret.task", worker="w", retries=0, at=now())
    count(record)
    answer = client.get("/", token)
    assert answer.title == "(1 failed) Overview · Pacifica Dispatcher"
    assert "1 job ended in the last hour: 1 failed." in part(answer, "history")
    assert "ended in the last hour 1 of them failed 1 100 % waiting 1 running 1" in part(answer, "now")
    assert "queue-of-lab.fit" in part(answer, "queues")
    assert "celery@lab" in part(answer, "workers")
    assert "secret" not in answer.text
    assert "celery@other" not in answer.text


def test_caller_of_own_jobs_sees_no_charts_and_why(browse: Browse, record: Database) -> None:
    client = browse(anonymous="none")
    token, _ = client.tokens.create("ann", ["read"], own=True, lifetime=None)
    alive(record, client, name="celery@secret")
    mine = end(client, who="token:ann", fails=True)
    theirs = [end(client, who="bob", fails=True, task="secret.task") for _ in range(3)]
    claim(client.jobs, add(client.jobs, caller="bob", task="secret.task"), "t")
    add(client.jobs, caller="bob", task="secret.task", target_queue="secret")
    count(record)
    answer = client.get("/", token)
    assert answer.title == "(1 failed) Overview · Pacifica Dispatcher"
    assert "1 of your jobs failed in the last hour. The service works." in part(answer, "verdict")
    assert "Only one job here is yours to see." in part(answer, "first")
    assert "they count the jobs of all callers" in part(answer, "history")
    assert "waiting 0 running 0" in part(answer, "now")
    assert "No job is waiting." in part(answer, "queues")
    assert mine in answer.text
    assert not any(uuid in answer.text for uuid in theirs)
    assert "secret" not in answer.text
    assert "<svg" not in answer.text


def test_without_its_database_the_page_still_has_the_verdict(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_to_read(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("The database cannot do that now (gone).")

    client = browse(anonymous="loopback")
    monkeypatch.setattr(WorkerStore, "beats", fail_to_read)
    monkeypatch.setattr(PresentJobs, "queues", fail_to_read)
    answer = client.get("/")
    assert (answer.status, answer.title) == (200, "✕ Overview · Pacifica Dispatcher")
    assert "✕ Overview: The service accepts no jobs." in part(answer, "verdict")
    assert "The database cannot do that now (gone)." in part(answer, "verdict")
    assert "pacifica-dispatcher-cmd doctor" in part(answer, "verdict")
    assert [part(answer, name) for name in ("first", "now", "history", "queues", "workers", "failures")] == [""] * 6
    assert '<section id="away" data-live>' in answer.text


def test_stopped_worker_and_task_without_worker_are_named(
    browse: Browse, record: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = browse(anonymous="loopback")
    alive(record, client)
    job = add(client.jobs, task="lab.new")
    client.jobs.lacks_task(job.uuid, task="lab.new", worker="w", retries=0, at=now())
    gone = add(client.jobs, task="lab.gone")
    claim(client.jobs, gone, "t", holder="no-longer-registered", worker="celery@gone")
    answer = client.get("/")
    assert "1 job waits for the task lab.new, which no worker has." in part(answer, "verdict")
    assert "celery@gone ✕ has ended lab.gone" in part(answer, "workers")
    monkeypatch.setattr(ReadinessReport, "state_of", lambda *_: "stopped")
    assert "celery@lab ✕ stopped" in part(client.get("/"), "workers")


def test_verdict_has_a_sentence_for_each_fault() -> None:
    ok = Part("ok")
    parts = {"database": ok, "broker": Part("degraded", None, "It is off."), "schema": ok, "outbox": ok, "workers": ok}
    found = judge(ReadinessReport(parts, 0, Workers()), [("lab.a", 1200)], 5)
    assert (found.verdict, found.headline) == ("degraded", "2 things need attention.")
    assert [concern.text for concern in found.concerns] == [
        "It is off.",
        "1,200 jobs wait for the task lab.a, which no worker has.",
    ]
    late = {**parts, "broker": Part("degraded", None, "A job has waited for the broker for 3725 seconds.")}
    one = judge(ReadinessReport(late, 1, Workers()), [], 0)
    assert (one.headline, one.concerns[0].text) == ("A job has waited for the broker for 1 h 02 min.", "")
    alone = {**late, "broker": ok, "outbox": late["broker"], "workers": Part("degraded", None, "No worker is alive.")}
    of_workers = judge(ReadinessReport(alone, 1, Workers()), [], 0)
    (concern,) = of_workers.concerns
    assert (of_workers.headline, concern.text) == (
        "No worker is alive.",
        "A job has waited for the broker for 1 h 02 min.",
    )
    assert concern.remedy.command == "celery -A pacifica.dispatcher.tasks worker"
    lacking = {
        **parts,
        "broker": ok,
        "tasks": Part("degraded", None, "Some tasks are missing. module shop.a: it fails."),
    }
    of_tasks = judge(ReadinessReport(lacking, 0, Workers()), [], 0)
    (concern,) = of_tasks.concerns
    assert (of_tasks.headline, concern.text) == ("Some tasks are missing.", "Module shop.a: it fails.")
    assert concern.remedy.command == "pacifica-dispatcher-cmd doctor --adopt"
    unsure = judge(ReadinessReport({"workers": Part("unknown")}, 0, Workers()), [], 0)
    assert (unsure.verdict, unsure.headline) == ("unknown", "The service works, as far as it is known yet.")
    down = {**parts, "database": Part("unavailable", None, "Gone."), "broker": Part("unavailable", None, "Gone.")}
    both = judge(ReadinessReport(down, 0, Workers()), [], 0)
    assert [concern.text for concern in both.concerns] == ["Gone."]
    assert both.headline == "The service accepts no jobs."
