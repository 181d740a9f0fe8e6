"""Errors of pages are pages, with their policy; those of the API stay problem documents. The modes of the dashboard."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.dashboard import rendering
from pacifica.dispatcher.store.jobs import JobStore

from ..web.wsgi import respond
from .pages_client import Answer, PagesClient

Browse = Callable[..., PagesClient]
PROBLEM = "application/problem+json"


def fail(*_: Any) -> bytes:
    raise ZeroDivisionError("a secret")


def is_page(answer: Answer) -> bool:
    """Whether it is a page under the strict policy, that is not kept."""
    headers = answer.headers
    return (
        headers["Content-Type"] == "text/html;charset=utf-8"
        and headers["Content-Security-Policy"] == rendering.POLICY
        and headers["Cache-Control"] == "no-store"
        and headers["Referrer-Policy"] == "same-origin"
        and headers["X-Content-Type-Options"] == "nosniff"
        and answer.text.startswith("<!doctype html>")
    )


@pytest.mark.parametrize("path", ["/", "/?x=1", "/ui/nothing", "/nothing"])
def test_page_without_a_token_shows_the_form(browse: Browse, path: str) -> None:
    answer = browse(anonymous="none").get(path)
    assert (answer.status, is_page(answer), answer.title) == (401, True, "Sign in · Pacifica Dispatcher")
    assert "This page needs a token." in answer.text
    assert f'name="next" value="{path}"' in answer.text
    assert answer.headers["Www-Authenticate"].startswith("Bearer")


def test_page_beyond_the_scope_names_it_and_asks_for_another_token(browse: Browse) -> None:
    client = browse(anonymous="none")
    answer = client.get("/", cookie=client.token("me", "cancel"))
    assert (answer.status, is_page(answer)) == (403, True)
    assert "This needs the scope read" in answer.text
    assert 'name="token"' in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/nothing", 404, "There is no page at /nothing."),
        ("GET", "/ui/%3Cscript%3E", 404, "/ui/&lt;script&gt;."),
        ("GET", "/ui/sign-out", 405, "The method GET is not allowed here. Allowed: OPTIONS, POST."),
        ("PUT", "/ui/sign-in", 405, "Allowed: GET, HEAD, OPTIONS, POST."),
        ("GET", "/ui/sign-in?x=%3Cscript%3E", 400, "x="),
        ("GET", "/ui//sign-in", 400, "empty segment"),
    ],
)
def test_error_of_a_page_is_a_page(browse: Browse, method: str, path: str, status: int, said: str) -> None:
    answer = browse().ask(method, path, RAW_URI=path)
    assert (answer.status, is_page(answer)) == (status, True), answer.text
    assert said in answer.text or status == 400
    assert "<script>" not in answer.text


def test_address_of_the_pages_leads_to_the_overview(browse: Browse) -> None:
    answer = browse(root_path="/lab").get("/lab/ui")
    assert (answer.status, answer.headers["Location"]) == (303, "/lab/")


def test_unexpected_error_is_a_page_that_reveals_nothing(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    client = browse()
    monkeypatch.setattr(client.tree.root.ui, "overview", fail)
    answer = client.get("/")
    assert (answer.status, is_page(answer), answer.title) == (500, True, "The service failed · Pacifica Dispatcher")
    assert "a secret" not in answer.text


def test_page_without_the_database_can_be_tried_again(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any) -> None:
        raise DatabaseUnavailable("The database cannot do that now (gone).")

    monkeypatch.setattr(JobStore, "search", unreachable)
    answer = browse().get("/ui/jobs?task=add&state=FAILURE")
    assert (answer.status, answer.title) == (503, "Not available now · Pacifica Dispatcher")
    assert '<a href="/ui/jobs?task=add&amp;state=FAILURE">Try again</a>' in answer.text


def test_page_that_cannot_be_shown_ends_in_a_problem_document(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    client = browse()
    monkeypatch.setattr(rendering, "environment", fail)
    for path in ("/nothing", "/", "/ui/sign-in"):
        answer = client.get(path)
        assert (answer.status, answer.headers["Content-Type"]) == (500, PROBLEM)
        assert "a secret" not in answer.text


@pytest.mark.parametrize(
    ("path", "accept"),
    [("/tasks/nothing", "text/html"), ("/status/x", "text/html,*/*"), ("/nothing", "*/*"), ("/nothing", None)],
)
def test_errors_of_the_api_stay_problem_documents(browse: Browse, path: str, accept: str | None) -> None:
    answer = browse().get(path, HTTP_ACCEPT=accept)
    assert answer.status >= 400
    assert answer.headers["Content-Type"] == PROBLEM


def test_dashboard_that_is_off_leaves_no_page(browse: Browse) -> None:
    client = browse(mode="off")
    for path, status in (("/", 406), ("/ui", 404), ("/ui/sign-in", 404), ("/nothing", 404)):
        answer = client.get(path, HTTP_ACCEPT="text/html")
        assert (answer.status, answer.headers["Content-Type"]) == (status, PROBLEM)
    assert client.get("/", HTTP_ACCEPT="*/*").headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(("accept", "media"), [("*/*", "json"), ("application/json", "json"), (None, "json")])
def test_programs_get_the_service_document(browse: Browse, accept: str | None, media: str) -> None:
    answer = browse().get("/", HTTP_ACCEPT=accept)
    assert (answer.status, answer.headers["Vary"]) == (200, "Accept")
    assert media in answer.headers["Content-Type"]


@pytest.mark.parametrize(("path", "status"), [("/ui/sign-in", 200), ("/nothing", 404), ("/ui/sign-out", 405)])
def test_page_is_compressed_for_browsers(browse: Browse, path: str, status: int) -> None:
    client = browse()
    plain = client.get(path)
    local = {"REMOTE_ADDR": "127.0.0.1", "HTTP_ACCEPT": "text/html", "HTTP_ACCEPT_ENCODING": "gzip, deflate, br, zstd"}
    code, headers, packed = respond(client.tree, "GET", path, **local)
    assert (int(code[:3]), headers["Content-Encoding"], headers["Content-Length"]) == (status, "gzip", str(len(packed)))
    assert "Accept-Encoding" in headers["Vary"]
    assert gzip.decompress(packed).decode() == plain.text
    assert len(packed) < len(plain.text) / 2
    assert "Content-Encoding" not in plain.headers
