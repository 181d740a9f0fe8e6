"""The list as a file: all pages of the filter, harmless cells, and the limit."""

import csv
import io
import json
from collections.abc import Callable

import pytest

from pacifica.dispatcher.core.job import State
from pacifica.dispatcher.dashboard import job_export
from pacifica.dispatcher.store import search
from pacifica.dispatcher.web.request import search_query

from ..store.conftest import a_job
from .job_rows import ended, failed, stored
from .pages_client import Answer, PagesClient

Browse = Callable[..., PagesClient]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search has three jobs per page, and an export ten jobs at most."""
    monkeypatch.setattr(search_query, "MAX_LIMIT", 3)
    monkeypatch.setattr(job_export, "LARGEST_EXPORT", 10)


def table(answer: Answer) -> list[dict[str, str]]:
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv;charset=utf-8")
    assert answer.text.startswith("\ufeffuuid,task,state,")
    return list(csv.DictReader(io.StringIO(answer.text[1:], newline="")))


def lines(answer: Answer) -> list[dict[str, object]]:
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-ndjson;charset=utf-8")
    return [json.loads(line) for line in answer.text.split("\n")[:-1]]


@pytest.mark.usefixtures("small")
def test_file_has_all_pages_of_the_filter(browse: Browse) -> None:
    client = browse()
    made = stored(client, *(a_job(task="mul" if number % 2 else "add") for number in range(16)))
    wanted = made[1::2][::-1]
    assert [row["uuid"] for row in table(client.get("/ui/jobs/export?format=csv&task=mul"))] == wanted
    assert [row["uuid"] for row in lines(client.get("/ui/jobs/export?format=ndjson&task=mul"))] == wanted


@pytest.mark.usefixtures("small")
def test_file_ends_at_the_limit(browse: Browse) -> None:
    client = browse()
    made = stored(client, *(a_job() for _ in range(12)))
    assert [row["uuid"] for row in table(client.get("/ui/jobs/export"))] == made[:1:-1]
    assert "newest 100,000 at most" in client.get("/ui/jobs").text


def test_limit_also_holds_for_failures_that_are_only_looked_at(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    client = browse()
    made = stored(client, *(failed("rare" if number in {0, 8} else "usual") for number in range(10)))
    for module in (search, job_export):
        monkeypatch.setattr(module, "MOST_FAILURES", 2)
    monkeypatch.setattr(job_export, "LARGEST_EXPORT", 6)
    assert [row["uuid"] for row in table(client.get("/ui/jobs/export?error=rare"))] == [made[8]]


def test_lines_are_those_of_the_api(browse: Browse) -> None:
    client = browse()
    (uuid,) = stored(client, failed("größe\n\u2028", args=[{"a": "x" * 110_000}], labels={"run": "1"}))
    (line,) = lines(client.get("/ui/jobs/export?format=ndjson"))
    assert line == json.loads(client.get(f"/status/{uuid}", HTTP_ACCEPT="application/json").text)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_cell_that_would_be_a_formula_is_text(browse: Browse, start: str) -> None:
    client = browse()
    evil = f"{start}cmd|' /C calc'!A0"
    stored(client, ended(result=evil, caller=evil, worker=evil, queue=evil), failed("x", kind=evil), ended(result=-5))
    negative, error, result = table(client.get("/ui/jobs/export?format=csv"))
    assert {result[name] for name in ("result", "caller", "worker", "queue")} == {f"'{evil}"}
    assert (error["error"], negative["result"]) == (f"'{evil}: x", "'-5")


def test_cells_show_values_as_the_api_does(browse: Browse) -> None:
    client = browse()
    job = ended(args=[1, "a,b"], kwargs={"x": None}, result={"ä": [1.5]}, labels={"run": "1", "site": "Köln"})
    stored(client, job, a_job(args=[], state=State.REVOKED))
    revoked, row = table(client.get("/ui/jobs/export"))
    assert (row["args"], row["kwargs"], row["result"]) == ('[1, "a,b"]', '{"x": null}', '{"ä": [1.5]}')
    assert (row["labels"], row["error"], row["attempt"]) == ("run=1, site=Köln", "", "0")
    assert (revoked["state"], revoked["result"], revoked["finished"]) == ("REVOKED", "", "")


def test_file_has_a_name_and_only_visible_jobs(browse: Browse) -> None:
    client = browse(anonymous="none")
    made = stored(client, a_job(), a_job(task="mul"))
    answer = client.get("/ui/jobs/export", client.token("narrow", "read:add"))
    assert [row["uuid"] for row in table(answer)] == [made[0]]
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="jobs-')
    assert client.get("/ui/jobs/export").status == 401


@pytest.mark.parametrize("query", ["format=xml", "state=DONE", "cursor=abc&sort=x", "since=yesterday"])
def test_query_that_is_not_valid_is_refused_before_the_file_begins(browse: Browse, query: str) -> None:
    answer = browse().get(f"/ui/jobs/export?{query}")
    assert (answer.status, answer.headers["Content-Type"]) == (400, "text/html;charset=utf-8")
