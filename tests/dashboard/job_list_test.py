"""The list of jobs: its filters and their address, its pages, its cells, and the states in which it is empty."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from pacifica.dispatcher.core.job import Job, JobError, State, now
from pacifica.dispatcher.core.strict_json import JsonText
from pacifica.dispatcher.dashboard import one_line
from pacifica.dispatcher.store import search

from ..store.conftest import a_job
from .job_rows import CONTINUE, OLDER, ended, failed, link, rows, stored
from .pages_client import PagesClient

Browse = Callable[..., PagesClient]
HOUR = 3_600_000_000
EVIL = "<script>alert('x')</script>"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [0, 1, 2, 3]),
        ("?task=mul", [1]),
        ("?state=FAILURE", [2]),
        ("?state=FAILURE&state=SUCCESS", [1, 2]),
        ("?state=failure,success", [1, 2]),
        ("?queue=slow", [0]),
        ("?label=run", [0, 1]),
        ("?label=run%3A1", [0]),
        ("?label=run&label=site%3AK%C3%B6ln", [1]),
        ("?caller=token%3Aada", [3]),
        ("?error=DISK", [2]),
        ("?error=oserror%3A+disk&task=add", [2]),
        ("?last=3600", [0, 1, 2]),
        ("?since=2001-09-09T01%3A46%3A40", [0, 1, 2, 3]),
        ("?until=2001-09-09T01%3A46%3A41", [3]),
        ("?until=2001-09-09T01%3A46%3A40Z", []),
        ("?limit=1", [0]),
    ],
)
def test_address_selects_the_jobs_that_match(browse: Browse, query: str, expected: list[int]) -> None:
    client, at = browse(), now()
    made = stored(
        client,
        a_job(queue="slow", labels={"run": "1"}, created=at),
        ended(task="mul", labels={"run": "2", "site": "Köln"}, created=at - 1),
        failed(created=at - 2),
        a_job(caller="token:ada", created=10**15),
    )
    assert rows(client.get(f"/ui/jobs{query}")) == [made[number] for number in expected]


def test_form_shows_the_filters_of_its_address(browse: Browse) -> None:
    client = browse()
    query = "state=FAILURE&task=a%22b&error=50%25&last=86400&queue=q&label=run%3A1&label=site&caller=me"
    query += "&since=2026-01-02T03%3A04%3A05Z"
    shown = client.get(f"/ui/jobs?{query}").text
    assert re.findall(r'value="([A-Z]+)" checked', shown) == ["FAILURE"]
    for name, value in (("task", "a&#34;b"), ("error", "50%"), ("queue", "q"), ("caller", "me")):
        assert re.search(rf'name="{name}"[^>]* value="{value}"', shown), name
    assert re.findall(r'name="label" value="([^"]*)"', shown) == ["run:1", "site"]
    assert '<option value="86400" selected>' in shown
    assert 'value="2026-01-02T03:04:05"' in shown
    assert '<details id="more" open>' in shown


def test_empty_fields_of_the_form_leave_the_address(browse: Browse) -> None:
    query = "state=FAILURE&task=&error=disk+full&last=&queue=&label=&label=run&caller=+&since=&until="
    answer = browse().get(f"/ui/jobs?{query}")
    assert (answer.status, answer.headers["Location"]) == (303, "/ui/jobs?state=FAILURE&error=disk+full&label=run")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("state=DONE", "must be one of PENDING"),
        ("error=x&error=y", "given 2 times"),
        ("since=yesterday", "since"),
        ("limit=501", "1 to 500"),
        ("cursor=abc", "cursor is not valid"),
    ],
)
def test_filter_that_is_not_valid_is_explained_above_the_list(browse: Browse, query: str, words: str) -> None:
    answer = browse().get(f"/ui/jobs?{query}")
    assert answer.status == 400
    assert words in re.findall(r'<p class="notice bad" role="alert">(.*?)</p>', answer.text)[0]
    assert 'id="filters"' in answer.text


def test_pages_show_each_job_once_while_new_ones_arrive(browse: Browse) -> None:
    client = browse()
    made = stored(client, *(a_job(created=1000 + number // 3) for number in range(300)))
    expected = sorted(made, key=lambda uuid: (1000 + made.index(uuid) // 3, uuid), reverse=True)
    seen: list[str] = []
    path: str | None = "/ui/jobs?task=add"
    while path is not None:
        page = client.get(path)
        seen += rows(page)
        path = link(OLDER, page)
        stored(client, a_job(), a_job(task="mul"))
    assert seen == expected


def test_error_is_looked_for_in_a_bounded_number_of_failures(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_FAILURES", 3)
    client = browse()
    made = stored(
        client, *(failed("rare_one" if number == 0 else "usual", created=1000 + number) for number in range(7))
    )
    first = client.get("/ui/jobs?error=e_o")
    assert (rows(first), "failures has" in first.text, link(OLDER, first)) == ([], True, None)
    second = client.get(link(CONTINUE, first) or "")
    third = client.get(link(CONTINUE, second) or "")
    assert (rows(second), rows(third), link(CONTINUE, third)) == ([], [made[0]], None)
    assert rows(client.get("/ui/jobs?error=%25")) == []


def test_jobs_that_the_caller_may_not_read_do_not_appear(browse: Browse) -> None:
    client = browse(anonymous="none")
    made = stored(client, a_job(), a_job(task="mul"), failed(task="mul"))
    token = client.token("narrow", "read:add")
    assert rows(client.get("/ui/jobs", token)) == [made[0]]
    assert rows(client.get("/ui/jobs?error=disk", token)) == rows(client.get("/ui/jobs?task=mul", token)) == []
    assert rows(client.get("/ui/jobs/rows?" + "&".join(f"uuid={uuid}" for uuid in made), token)) == [made[0]]
    assert "Run again" not in client.get("/ui/jobs", token).text
    assert "Cancel…" not in client.get("/ui/jobs", token).text


def test_rows_are_refreshed_by_their_ids(browse: Browse) -> None:
    client = browse()
    made = stored(client, *(a_job() for _ in range(3)))
    unknown = made[0][:-1] + ("1" if made[0].endswith("0") else "0")
    answer = client.get(f"/ui/jobs/rows?uuid={made[2]}&uuid=nothing&uuid={made[0]}&uuid={unknown}")
    assert rows(answer) == [made[2], made[0]]
    assert rows(client.get(f"/ui/jobs/rows?uuid={made[1]}")) == [made[1]]
    assert rows(client.get("/ui/jobs/rows")) == []


def test_markup_stays_text_in_every_cell(browse: Browse) -> None:
    client = browse()
    evil: dict[str, Any] = {"task": EVIL, "args": [EVIL], "kwargs": {"a": EVIL}, "caller": EVIL, "worker": EVIL}
    evil |= {"labels": {"a": EVIL}, "queue": EVIL}
    stored(client, ended(result=EVIL, **evil), failed(EVIL, kind=EVIL, **evil))
    stored(client, a_job(state=State.STARTED, due=None, progress={"current": 1, "total": 3, "message": EVIL}, **evil))
    shown = client.get(f"/ui/jobs?task={EVIL}&queue={EVIL}&caller={EVIL}&label=a%3A{EVIL}&error={EVIL}").text
    shown += client.get("/ui/jobs").text + client.get(f"/ui/jobs?error=x&state={EVIL}").text
    assert "<script>" not in shown
    assert shown.count("&lt;script&gt;") > 20
    assert not re.search(r' (style|on\w+)="', shown)


def test_cells_are_short_texts_of_one_line() -> None:
    job = a_job(args=["a\nb", 2], kwargs={"unit": "µm"})
    assert one_line.arguments(job) == '"a\\nb", 2, unit="µm"'
    assert one_line.arguments(a_job(args=["x" * 900] * 900)).endswith("…")
    assert len(one_line.arguments(a_job(args=list(range(5000))))) == one_line.LONGEST
    assert one_line.arguments(a_job(args=JsonText("[1, 2]"))) == "[1, 2]"
    assert one_line.outcome(ended(result={"a": [1, None]})) == '{"a": [1, null]}'
    assert one_line.outcome(ended(result="two\n lines \u202e")) == "two lines \\u202e"
    assert one_line.outcome(failed("line 1\nline 2")) == "OSError: line 1 line 2"
    assert one_line.outcome(a_job(cancel=True, state=State.STARTED)) == "being cancelled"
    revoked = JobError("TaskRevokedError", "terminated")
    assert one_line.outcome(a_job(state=State.REVOKED, error=revoked)) == "terminated"
    assert one_line.outcome(a_job()) == ""


def progress_of(current: float, total: float | None) -> Job:
    return a_job(state=State.STARTED, progress={"current": current, "total": total, "message": "step"})


def test_progress_is_a_share_if_the_total_is_known() -> None:
    assert [one_line.share(progress_of(*each)) for each in ((1, 3), (9, 3), (5, None), (5, 0))] == [33, 100, None, None]
    assert [one_line.outcome(progress_of(*each)) for each in ((1, 3), (5, None))] == ["33 % step", "5 step"]
    assert one_line.share(ended(progress={"current": 1, "total": 2})) is None


def test_run_time_ends_with_the_attempt(browse: Browse) -> None:
    client, at = browse(), now()
    stored(
        client,
        ended(started=at, finished=at + 1_500_000),
        a_job(state=State.RETRY, started=at, error=JobError("E", "x")),
    )
    stored(client, a_job(state=State.STARTED, due=None, started=at - 2 * HOUR))
    assert re.findall(r'<td class="ran number">(.*?)</td>', client.get("/ui/jobs").text) == ["2 h 00 min", "", "1.5 s"]


def test_empty_columns_are_left_out(browse: Browse) -> None:
    client = browse()
    stored(client, a_job())
    assert 'class="jobs no-labels no-by no-on"' in client.get("/ui/jobs").text
    stored(client, a_job(caller="token:ada", labels={"a": "b"}, worker="w"))
    assert 'class="jobs"' in client.get("/ui/jobs").text


def test_labels_and_callers_of_the_rows_are_filters(browse: Browse) -> None:
    client = browse()
    job = a_job(caller="token:ada", labels={"run": "1", "site": "Köln = a:b"})
    stored(client, job, a_job(caller="token:eve", labels={"run": "2"}))
    links = re.findall(
        r'<a href="(/ui/jobs\?(?:label|caller)=[^"]*)">([^<]+)</a>', client.get("/ui/jobs?label=site").text
    )
    assert [text for _, text in links] == ["run=1", "site=Köln = a:b", "token:ada"]
    assert [rows(client.get(address)) for address, _ in links] == [[job.uuid]] * 3


def test_commands_act_on_all_jobs_that_match(browse: Browse) -> None:
    client = browse()
    stored(client, *(failed(queue="slow") for _ in range(3)))
    shown = client.get("/ui/jobs?state=FAILURE&queue=slow&limit=2").text
    for command in ("retry", "cancel"):
        assert re.search(rf"search --url \S+ --state FAILURE --queue slow --all [^<]* {command} --url", shown), command
    for query in ("?limit=2", "?state=FAILURE"):  # All jobs, and no other page.
        assert 'id="cancel-all"' not in client.get(f"/ui/jobs{query}").text
    assert 'id="cancel-all"' not in browse(mode="read-only").get("/ui/jobs?state=FAILURE&limit=2").text


def test_empty_list_names_the_next_step(browse: Browse) -> None:
    client = browse()
    assert "There are no jobs yet." in (first := client.get("/ui/jobs")).text
    assert "pacifica-dispatcher-cmd dispatch add" in first.text
    assert "pacifica-dispatcher-cmd dispatch" not in browse(mode="read-only").get("/ui/jobs").text
    nothing = client.get("/ui/jobs?task=mul").text
    assert "No job matches." in nothing
    assert '<a href="/ui/jobs">Remove all filters</a>' in nothing


def test_links_keep_the_prefix_of_the_service(browse: Browse) -> None:
    client = browse(root_path="/lab")
    stored(client, *(a_job() for _ in range(2)))
    first = client.get("/lab/ui/jobs?limit=1")
    assert len(rows(client.get(link(OLDER, first) or ""))) == 1
    assert not re.search(r'(href|action)="/(?!lab/)', first.text)
    assert client.get("/lab/ui/jobs?task=").headers["Location"] == "/lab/ui/jobs"
