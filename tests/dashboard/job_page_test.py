"""The page of one job: its content, its escaping, its actions, and who sees what."""

import base64
import html
import re
import shlex
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.job import Job, JobError, State, new_uuid
from pacifica.dispatcher.dashboard import value_views
from pacifica.dispatcher.dashboard.job_facts import rate_text
from pacifica.dispatcher.store import lineage
from pacifica.dispatcher.store.database import Database

from ..store.conftest import a_job
from .html_form import HtmlForm
from .pages_client import Answer, PagesClient

Browse = Callable[..., PagesClient]
S = 1_000_000
SCRIPT = '<script>alert("1")</script>'
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()


def ended(result: Any = None, **columns: Any) -> Job:
    """A job that has ended with this result."""
    given = {"state": State.SUCCESS, "result": result, "due": None, "attempt": 1, "created": 0, "started": S}
    return a_job(**{**given, "finished": 2 * S, **columns})


def running(**columns: Any) -> Job:
    return a_job(
        **{"state": State.STARTED, "due": None, "attempt": 1, "holder": "w", "worker": "celery@lab", **columns}
    )


def page(client: PagesClient, job: Job, cookie: str | None = None, query: str = "") -> Answer:
    """Store the job, and get its page."""
    client.jobs.add([job])
    return client.get(f"/ui/jobs/{job.uuid}{query}", cookie)


def code(text: str, ident: str) -> str:
    """The text of the element with this id."""
    found = re.search(rf'id="{ident}"[^>]*>(.*?)</(?:pre|code|span)>', text, re.DOTALL)
    assert found is not None, ident
    return html.unescape(found[1])


def test_many_arguments_are_counted(browse: Browse) -> None:
    text = page(browse(), ended(args=list(range(1000)))).text
    assert (text.count("<dt>argument "), "950 more are not shown" in text) == (50, True)


def test_page_shows_the_facts_of_a_job(browse: Browse) -> None:
    job = ended(
        {"S-17": 5.0},
        attempt=3,
        retries=2,
        queue="slow",
        priority=4,
        worker="celery@lab",
        caller="token:me",
        labels={"run": "1 7"},
        expires=9 * S,
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
    )
    answer = page(browse(), job)
    assert (answer.status, answer.title) == (200, "✓ add · Pacifica Dispatcher")
    for fact in (
        job.uuid,
        "slow",
        "celery@lab",
        "token:me",
        "run: 1 7",
        "label=run%3A1%207",
        "2, which the task asked for",
        job.traceparent,
    ):
        assert str(fact) in answer.text
    assert "<dt>Priority</dt><dd>4</dd>" in answer.text
    assert 'href="/ui/tasks/add"' in answer.text
    assert code(answer.text, "result-text") == '{"S-17": 5.0}'
    assert "data-live" not in answer.text


def test_arguments_have_the_names_of_the_signature(browse: Browse) -> None:
    client = browse()
    names = r"<dt>([^<]*)</dt>\s*<dd><div"
    assert re.findall(names, page(client, ended(args=[1], kwargs={"y": 5})).text) == ["x", "y"]
    assert re.findall(names, page(client, ended(args=[1, 2, 3], kwargs={"z": 5})).text)[2:] == ["argument 3", "z"]
    assert "argument 1" in page(client, ended(task="gone", args=[1])).text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([1, 4, 9, 16], '<polyline class="line"'),
        ([[0, 1], [2, 3]], '<polyline class="line"'),
        ([{"mass": 1.5, "name": "é"}], '<th class="number">mass</th>'),
        (PNG, f'<img src="data:image/png;base64,{PNG}"'),
        ({"a": {"b": [1, {"c": 2}]}}, '<ul class="tree">'),
        ("two\nlines", "two\nlines</pre>"),
        (None, ">null</code>"),
    ],
)
def test_result_and_argument_are_shown_by_their_kind(browse: Browse, value: Any, shown: str) -> None:
    client = browse()
    assert shown in page(client, ended(value)).text
    assert shown in page(client, ended(None, args=[value, 1])).text


def test_script_in_any_text_stays_text(browse: Browse, record: Database) -> None:
    error = JobError(f"Type{SCRIPT}", SCRIPT, SCRIPT, at=SCRIPT)
    texts: dict[str, Any] = {"args": [SCRIPT, [[SCRIPT, 1]]], "kwargs": {SCRIPT: {SCRIPT: [{"a": SCRIPT}]}}}
    job = a_job(
        **{**texts, "task": f"t{SCRIPT}", "labels": {"a": SCRIPT}, "queue": SCRIPT, "worker": SCRIPT, "caller": SCRIPT},
        progress={"current": 1, "total": 2, "message": SCRIPT},
        headers={"group_id": SCRIPT, "chain": [{"task": SCRIPT, "options": {"task_id": SCRIPT}}]},
        state=State.FAILURE,
        error=error,
        finished=1,
        due=None,
        replay_of=SCRIPT[:36],
    )
    client = browse()
    client.jobs.add([job])
    data = strict_json.dumps({"type": SCRIPT, "message": SCRIPT, "worker": SCRIPT, "reason": SCRIPT})
    rows = [
        {"job": job.uuid, "at": 1, "kind": kind, "data": data} for kind in ("STARTED", "LOST", "DROPPED", "FAILURE")
    ]
    record.write(orm.Event.insert_many(rows).execute)
    for answer in (
        client.get(f"/ui/jobs/{job.uuid}"),
        page(client, ended([{SCRIPT: SCRIPT}])),
        page(client, ended(SCRIPT)),
    ):
        assert answer.status == 200
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert" in answer.text
    assert "<script>alert" not in client.get(f"/ui/jobs/{SCRIPT.replace('/', '%2F')}").text


def test_error_is_shown_with_its_place_and_its_traceback(browse: Browse) -> None:
    error = JobError("ValueError", "no mass", "Traceback of the task", at="lab.py:54")
    failed = ended(state=State.FAILURE, error=error)
    answer = page(browse(), failed)
    assert answer.title.startswith("✕ add")
    assert "<strong>ValueError</strong>" in answer.text
    assert "at lab.py:54" in answer.text
    assert code(answer.text, "traceback-text") == "Traceback of the task"
    hidden = browse(show_tracebacks="none")
    text = page(hidden, failed).text
    assert "Traceback of the task" not in text
    assert "show_tracebacks" in text


def test_traceback_has_the_frames_of_the_task(browse: Browse) -> None:
    head, caret = "Traceback (most recent call last):\n", "             ^^^^^^^^\n"
    worker = '  File "/v/site-packages/celery/app/trace.py", line 56, in trace\n    R = fun(*args)\n' + caret
    worker += '  File "/v/pacifica/dispatcher/worker/task.py", line 95, in __call__\n    return self.run()\n' + caret
    own = '  File "/lab/worker/tasks.py", line 9, in weigh\n    raise ValueError\nValueError: no mass\n'
    cases = {head + worker + own: head + own, head + worker + "MemoryError\n": head + worker}
    grouped = {
        re.sub("^", "  | ", text, flags=re.MULTILINE): re.sub("^", "  | ", shown, flags=re.MULTILINE)[:-4]
        for text, shown in cases.items()
    }
    for text, shown in (cases | grouped).items():
        answer = page(browse(), ended(state=State.FAILURE, error=JobError("E", "m", text)))
        assert code(answer.text, "traceback-text").startswith(shown)
        assert ("Without the frames of the worker" in answer.text) == ("lab" in shown)


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("cancelled", "The job was cancelled."),
        ("expired", "The job expired before a worker started it."),
        ("by <hand>.", "The job was revoked: by &lt;hand&gt;."),
    ],
)
def test_revocation_is_a_sentence_and_no_error(browse: Browse, reason: str, sentence: str) -> None:
    text = page(browse(), ended(state=State.REVOKED, error=JobError("TaskRevokedError", reason))).text
    assert f"<p>{sentence}</p>" in text
    assert "TaskRevokedError" not in text


@pytest.mark.parametrize("place", ["result", "args", "kwargs"])
def test_large_value_is_not_read(browse: Browse, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = "begin " + "x" * 150_000
    job = ended(**{"args": [1, 1], place: {"args": [value], "kwargs": {"y": value}, "result": value}[place]})
    client = browse()
    client.jobs.add([job])
    monkeypatch.setattr(value_views, "MOST_READ", 100_000)
    monkeypatch.setattr(value_views, "MOST_TEXT", 100_000)
    loads = strict_json.loads
    monkeypatch.setattr(strict_json, "loads", lambda text: loads(text) if len(text) < 100_000 else 1 / 0)
    answer = client.get(f"/ui/jobs/{job.uuid}")
    assert answer.status == 200
    assert len(answer.text) < 30_000
    assert "150,0" in answer.text
    assert "begin xxx" in answer.text
    assert f'href="/{"result" if place == "result" else "status"}/{job.uuid}"' in answer.text


def test_lines_dispatch_the_same_job_at_the_address_of_the_page(browse: Browse) -> None:
    job = ended(args=["it's $HOME"], kwargs={"y": None}, queue="slow", max_attempts=7, labels={"run": "17"})
    answer = page(browse(root_path="/lab"), job)
    words = [word for word in shlex.split(code(answer.text, "again-shell")) if word != "\n"]
    assert words[:2] == ["curl", "http://localhost/lab/dispatch/add"]
    options = {"queue": "slow", "max_attempts": 7, "labels": {"run": "17"}}
    assert strict_json.loads(words[-1]) == {"args": ["it's $HOME"], "kwargs": {"y": None}, "options": options}
    assert "DISPATCHER_TOKEN" not in words
    python = code(answer.text, "again-python")
    compile(python, "again", "exec")
    assert "DispatcherClient('http://localhost/lab')" in python


def test_lines_have_the_scheme_of_the_proxy(browse: Browse) -> None:
    client, job = browse(anonymous="anywhere"), ended()
    client.jobs.add([job])
    text = client.get(f"/ui/jobs/{job.uuid}", HTTP_X_FORWARDED_PROTO="https", HTTP_HOST="lab.example").text
    assert "curl https://lab.example/dispatch/add" in code(text, "again-shell")


def test_line_for_a_caller_with_a_token_uses_the_variable(browse: Browse) -> None:
    client = browse(anonymous="none")
    token = client.token("me", "read")
    text = page(client, ended(), token).text
    assert '"Authorization: Bearer $DISPATCHER_TOKEN"' in code(text, "again-shell")
    assert token not in text


def test_long_arguments_have_no_lines(browse: Browse) -> None:
    text = page(browse(), ended(args=["x" * 20_000, 1])).text
    assert "too long for a line" in text
    assert "again-shell" not in text


def test_progress_has_a_rate_and_an_estimate(browse: Browse, record: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifica.dispatcher.dashboard.job_page.now", lambda: 110 * S)
    job = running(created=0, started=10 * S, progress={"current": 20, "total": 80, "message": "weighing"})
    client = browse()
    client.jobs.add([job])
    report = {"job": job.uuid, "at": 50 * S, "kind": "PROGRESS", "data": strict_json.dumps(job.progress)}
    record.write(orm.Event.insert(report).execute)
    answer = client.get(f"/ui/jobs/{job.uuid}")
    assert answer.title == "◐ 25 % add · Pacifica Dispatcher"
    assert '<progress max="100" value="25"' in answer.text
    for part in ("20 of 80", "weighing", "30 per min", "about 1 min 00 s left"):
        assert part in answer.text
    assert {"job-head", "job-outcome", "job-facts", "job-timeline"} <= set(
        re.findall('id="([^"]*)" data-live', answer.text)
    )


@pytest.mark.parametrize(
    "progress",
    [
        {"current": 0, "total": 0, "message": ""},
        {"current": 5, "total": None},
        {"current": 9, "total": 3, "message": ""},
    ],
)
def test_odd_progress_is_shown(browse: Browse, progress: dict[str, Any]) -> None:
    answer = page(browse(), running(started=1, progress=progress))
    assert answer.status == 200
    assert 'value="100"' in answer.text if progress["current"] == 9 else "<progress" not in answer.text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0, ""), (2.5, "2.5 per s"), (0.5, "30 per min"), (1 / 1800, "2 per h"), (12345.6, "12,346 per s")],
)
def test_rate_has_the_unit_that_reads_best(rate: float, text: str) -> None:
    assert rate_text(rate) == text


def test_retry_and_its_origin_are_linked(browse: Browse) -> None:
    client = browse()
    old = ended(created=5 * S)
    new = ended(created=6 * S, replay_of=old.uuid)
    client.jobs.add([old, new, ended(created=7 * S)])
    assert f'/ui/jobs/{old.uuid}"' in client.get(f"/ui/jobs/{new.uuid}").text
    text = client.get(f"/ui/jobs/{old.uuid}").text
    assert "Retried as" in text
    assert text.count(f'/ui/jobs/{new.uuid}"') == 1
    gone = page(client, ended(replay_of=new_uuid())).text
    assert "purged, or not covered by your token" in gone


def test_many_children_are_folded(browse: Browse) -> None:
    client, parent = browse(), ended()
    children = [ended(created=(number + 2) * S, headers={"parent_id": parent.uuid}) for number in range(12)]
    client.jobs.add([parent, *children])
    text = client.get(f"/ui/jobs/{parent.uuid}").text
    shown, _, folded = text.partition('<details id="children"><summary class="soft">7 more</summary>')
    places = [[f'/ui/jobs/{child.uuid}"' in part for child in children] for part in (shown, folded)]
    assert places == [[number < 5 for number in range(12)], [number >= 5 for number in range(12)]]


def test_relations_of_a_workflow_are_linked_where_they_may_be_seen(browse: Browse) -> None:
    client = browse(anonymous="none")
    parent, root, after = ended(), ended(task="secret"), new_uuid()
    headers = {"parent_id": parent.uuid, "root_id": root.uuid, "group_id": "g-1"}
    chain = [{"task": "last"}, {"task": "next", "options": {"task_id": after}}]
    child = running(started=2 * S, headers={**headers, "chain": chain, "chord": {"task": "sum"}})
    hidden = ended(task="secret", created=3 * S, headers={"parent_id": parent.uuid})
    client.jobs.add([parent, root, child, hidden])
    full = client.get(f"/ui/jobs/{child.uuid}", client.token("all", "read")).text
    assert all(f'/ui/jobs/{uuid}"' in full for uuid in (parent.uuid, root.uuid, after))
    assert re.findall(r"<li>(?:<a[^>]*>)?(next|last|sum)", full) == ["next", "last", "sum"]
    some = client.get(f"/ui/jobs/{child.uuid}", client.token("some", "read:add")).text
    assert parent.uuid in some
    assert root.uuid not in some
    assert after not in some
    assert "Then runs" not in some
    both = client.get(f"/ui/jobs/{parent.uuid}", client.token("all", "read")).text
    assert all(f'/ui/jobs/{uuid}"' in both for uuid in (child.uuid, hidden.uuid))
    own = client.get(f"/ui/jobs/{parent.uuid}", client.token("some", "read:add")).text
    assert (child.uuid in own, hidden.uuid in own) == (True, False)


def test_page_says_that_later_jobs_were_searched_in_part(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    client, job = browse(), ended()
    client.jobs.add([ended(created=number * S) for number in range(2, 6)])
    assert "Many jobs are newer" not in page(client, job).text
    monkeypatch.setattr(lineage, "LOOKED_AT", 3)
    assert "Many jobs are newer" in client.get(f"/ui/jobs/{job.uuid}").text


def test_cancelling_shows_the_job_again(browse: Browse) -> None:
    client = browse()
    job = a_job()
    assert 'id="cancel"' in page(client, job).text
    answer = client.post(f"/ui/jobs/{job.uuid}/cancel")
    location = answer.headers["Location"]
    assert (answer.status, location.rpartition(".")[0]) == (303, f"/ui/jobs/{job.uuid}?done=cancel")
    text = client.get(location).text
    assert "The job is cancelled." in text
    assert "The job is cancelled." not in client.get(f"/ui/jobs/{job.uuid}?done=cancel.1000000000").text
    assert 'id="cancel"' not in text
    again = client.post(f"/ui/jobs/{job.uuid}/cancel")
    assert (again.status, "data-live" in again.text) == (409, False)
    assert "has ended as REVOKED; there is nothing to cancel" in again.text


def test_running_job_is_asked_to_stop_after_a_question(browse: Browse) -> None:
    client, job = browse(), running(started=1, progress={"current": 1, "total": 4})
    client.jobs.add([job])
    asked = client.post(f"/ui/jobs/{job.uuid}/cancel")
    assert (asked.status, asked.title) == (200, "Cancel add? · Pacifica Dispatcher")
    assert "and is at 25 %" in asked.text
    assert not client.jobs.get(job.uuid).cancel
    answer = client.post(f"/ui/jobs/{job.uuid}/cancel", fields=HtmlForm(asked.text, "cancel-job").fields)
    text = client.get(answer.headers["Location"]).text
    assert "was asked to stop the job" in text
    assert "being cancelled" in text
    assert 'id="cancel"' not in text


def test_retrying_shows_the_new_job(browse: Browse) -> None:
    client, job = browse(root_path="/lab"), ended(labels={"run": "17"})
    client.jobs.add([job])
    answer = client.post(f"/ui/jobs/{job.uuid}/retry")
    assert answer.status == 303
    place = answer.headers["Location"].removeprefix("/lab")
    new = client.jobs.get(place.removeprefix("/ui/jobs/").partition("?")[0])
    assert (new.replay_of, new.args, new.labels) == (job.uuid, job.args, job.labels)
    text = client.get(place).text
    assert "This is a new job" in text
    assert f'href="/lab/ui/jobs/{job.uuid}"' in text
    assert f'href="/lab/ui/tasks/add?from={new.uuid}"' in text


def test_form_that_is_sent_twice_retries_once(browse: Browse) -> None:
    client, job = browse(keep_keys=60), ended()
    first, second = (
        HtmlForm(text, "retry-job").fields for text in (page(client, job).text, client.get(f"/ui/jobs/{job.uuid}").text)
    )
    places = [
        client.post(f"/ui/jobs/{job.uuid}/retry", fields=fields).headers["Location"]
        for fields in (first, first, second)
    ]
    assert places[0] == places[1] != places[2]
    assert client.post(f"/ui/jobs/{job.uuid}/retry", fields={"key": "17"}).status == 400


def test_job_is_retried_only_after_its_end(browse: Browse) -> None:
    client = browse()
    assert ['id="retry"' in page(client, job).text for job in (a_job(), running(), ended())] == [False, False, True]


@pytest.mark.parametrize(
    ("columns", "status", "reason"),
    [({"task": "gone"}, 404, "No task named"), ({"args": ["x", 1]}, 422, "The arguments do not fit task add")],
)
def test_job_that_cannot_be_retried_says_why(browse: Browse, columns: dict[str, Any], status: int, reason: str) -> None:
    client, job = browse(), ended(**columns)
    client.jobs.add([job])
    answer = client.post(f"/ui/jobs/{job.uuid}/retry")
    assert answer.status == status
    assert "The job was not dispatched again." in answer.text
    assert reason in html.unescape(answer.text)


def test_actions_need_their_scope(browse: Browse) -> None:
    client, job = browse(anonymous="none"), a_job()
    reader = client.token("reader", "read")
    text = page(client, job, reader).text
    assert not {'id="cancel"', 'id="retry"', 'id="edit"'} & set(re.findall('id="[^"]*"', text))
    assert [client.post(f"/ui/jobs/{job.uuid}/{verb}", reader).status for verb in ("cancel", "retry")] == [403, 403]
    other = client.token("other", "read", "cancel:lab.*", "dispatch:lab.*")
    assert [client.post(f"/ui/jobs/{job.uuid}/{verb}", other).status for verb in ("cancel", "retry")] == [404, 404]
    assert 'id="cancel"' not in client.get(f"/ui/jobs/{job.uuid}", other).text
    foreign = {"HTTP_ORIGIN": "http://evil.example", "HTTP_SEC_FETCH_SITE": "cross-site"}
    admin = client.token("admin", "admin")
    assert [client.post(f"/ui/jobs/{job.uuid}/{verb}", admin, **foreign).status for verb in ("cancel", "retry")] == [
        403,
        403,
    ]
    assert client.jobs.get(job.uuid).state is State.PENDING


def test_caller_who_may_cancel_and_not_read_sees_only_the_state(browse: Browse) -> None:
    client = browse(anonymous="none")
    secret = running(
        started=1, args=["secret", 1], labels={"a": "secret"}, progress={"current": 1, "message": "secret"}
    )
    token = client.token("desk", "cancel", "dispatch")
    assert page(client, secret, token).status == 403
    asked = client.post(f"/ui/jobs/{secret.uuid}/cancel", token)
    assert "secret" not in asked.text
    answer = client.post(f"/ui/jobs/{secret.uuid}/cancel", token, {"confirmed": "yes"})
    assert answer.status == 200
    assert "was asked to stop the job" in answer.text
    assert "does not have the scope <code>read</code>" in answer.text
    assert "secret" not in answer.text
    again = ended(args=[71, 72], labels={"a": "secret"})
    client.jobs.add([again])
    answer = client.post(f"/ui/jobs/{again.uuid}/retry", token)
    assert (answer.status, "This is a new job" in answer.text) == (200, True)
    assert "secret" not in answer.text


def test_read_only_dashboard_changes_nothing(browse: Browse) -> None:
    client, job = browse(mode="read-only"), a_job()
    text = page(client, job).text
    assert 'id="cancel"' not in text
    assert 'id="retry"' not in text
    for verb in ("cancel", "retry"):
        answer = client.post(f"/ui/jobs/{job.uuid}/{verb}")
        assert (answer.status, "read-only" in answer.text) == (403, True)
    assert client.jobs.get(job.uuid).state is State.PENDING


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/cancel"), ("POST", "/retry")])
def test_job_that_cannot_be_found_has_a_page(browse: Browse, record: Database, method: str, path: str) -> None:
    client = browse()
    uuid, purged = new_uuid(), new_uuid()
    record.write(orm.Tombstone.insert(job=UUID(purged), hour=1).execute)
    for name, status, title in (
        (uuid, 404, "There is no such job"),
        (purged, 410, "This job was purged"),
        ("17", 400, "This is not the id of a job"),
    ):
        answer = client.ask(method, f"/ui/jobs/{name}{path}", HTTP_ORIGIN="http://localhost")
        assert (answer.status, answer.title) == (status, f"{title} · Pacifica Dispatcher")
        assert 'href="/ui/jobs"' in answer.text


def test_hidden_job_looks_like_an_unknown_one(browse: Browse) -> None:
    client, job, unknown = browse(anonymous="none"), ended(task="secret"), new_uuid()
    client.jobs.add([job])
    token = client.token("me", "read:add")
    hidden, missing = (client.get(f"/ui/jobs/{uuid}", token) for uuid in (job.uuid, unknown))
    assert hidden.status == 404
    assert hidden.text.replace(job.uuid, unknown) == missing.text
