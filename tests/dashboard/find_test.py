"""The search field: where each kind of text leads."""

from collections.abc import Callable
from urllib.parse import quote

import pytest

from pacifica.dispatcher.core.job import new_uuid
from pacifica.dispatcher.core.registry import Registry, TaskSpec
from pacifica.dispatcher.dashboard import find

from ..store.conftest import a_job
from .job_rows import failed, rows, stored
from .pages_client import PagesClient

Browse = Callable[..., PagesClient]
ONE, OTHER = "01a22700-0000-7000-8000-00000000000a", "01a22711-0000-7000-8000-00000000000b"


def target(client: PagesClient, text: str, token: str | None = None) -> str:
    answer = client.get(f"/ui/find?q={quote(text)}", token)
    assert answer.status == 303
    return answer.headers["Location"]


def test_uuid_leads_to_its_job(browse: Browse) -> None:
    client, uuid = browse(), new_uuid()
    for text in (uuid, uuid.upper(), uuid.replace("-", ""), f"  {uuid}\n"):
        assert target(client, text) == f"/ui/jobs/{uuid}"


def test_beginning_of_a_uuid_leads_to_its_job_or_its_jobs(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    client = browse()
    stored(client, a_job(uuid=ONE), a_job(uuid=OTHER))
    assert target(client, "01A22711") == target(client, OTHER[:30]) == f"/ui/jobs/{OTHER}"
    stored(client, a_job(uuid=f"{ONE[:-1]}b"))
    page = client.get("/ui/find?q=01a22700")
    assert (page.status, rows(page)) == (200, [f"{ONE[:-1]}b", ONE])
    assert "2 jobs with a UUID that begins with 01a22700" in page.text
    monkeypatch.setattr(find, "MOST_JOBS", 1)
    page = client.get("/ui/find?q=01A22700-")
    assert (rows(page), "The newest 1 jobs" in page.text) == ([f"{ONE[:-1]}b"], True)
    assert target(client, "01a2271") == "/ui/jobs?error=01a2271"
    assert target(client, "01a22722-") == "/ui/jobs?error=01a22722-"


def test_beginning_of_a_job_that_is_not_visible_leads_to_no_job(browse: Browse) -> None:
    client = browse(anonymous="none")
    stored(client, a_job(uuid=ONE, task="mul"))
    assert target(client, "01a22700", client.token("narrow", "read:add")) == "/ui/jobs?error=01a22700"
    assert target(client, "01a22700", client.token("wide", "read")) == f"/ui/jobs/{ONE}"


def test_name_of_a_task_leads_to_its_jobs(browse: Browse) -> None:
    client = browse(anonymous="none")
    stored(client, a_job(task="removed.task"), a_job(task="mul"))
    token = client.token("some", "read:add", "read:removed.*")
    assert target(client, "add", token) == "/ui/jobs?task=add"
    assert target(client, "removed.task", token) == "/ui/jobs?task=removed.task"
    assert target(client, "mul", token) == "/ui/jobs?error=mul"
    assert target(client, "ad", token) == "/ui/jobs?error=ad"


def test_last_parts_of_a_name_lead_to_the_only_task_that_has_them(browse: Browse) -> None:
    names = ("shop.images.resize", "shop.add", "lab.add", "add")
    client = browse(registry=Registry([TaskSpec(name, len) for name in names]), anonymous="none")
    every, some = client.token("every", "read"), client.token("some", "read:lab.*")
    for text in ("resize", "images.resize"):
        assert target(client, text, every) == "/ui/jobs?task=shop.images.resize"
        assert target(client, text, some) == f"/ui/jobs?error={text}"
    assert target(client, "add", every) == "/ui/jobs?task=add"
    assert target(client, "add", some) == "/ui/jobs?task=lab.add"


@pytest.mark.parametrize("text", ["No such file", "100%", "<script>", "größe & mehr", "a\0b"])
def test_any_other_text_is_looked_for_in_errors(browse: Browse, text: str) -> None:
    client = browse()
    stored(client, failed(f"it says {text.replace(chr(0), '')} here"))
    page = client.get(target(client, text))
    assert (page.status, page.text.count("<tr data-row")) == (200, 1)


def test_nothing_leads_to_the_list(browse: Browse) -> None:
    client = browse()
    assert target(client, "  ") == client.get("/ui/find").headers["Location"] == "/ui/jobs"
    assert client.get(target(client, "x" * 3000)).status == 200
