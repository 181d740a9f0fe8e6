"""Facts that hold for each route of the pages, also for new ones: policy, prefix, scope, other sites, read-only."""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator

import pytest

from pacifica.dispatcher import dashboard
from pacifica.dispatcher.core.job import State
from pacifica.dispatcher.dashboard import rendering
from pacifica.dispatcher.web.operation import METHODS, Operation

from ..store.conftest import a_job
from .pages_client import PagesClient

Browse = Callable[..., PagesClient]


def routes() -> Iterator[tuple[str, Operation]]:
    """Each method and operation of the modules of the dashboard."""
    for module in pkgutil.iter_modules(dashboard.__path__):
        classes = vars(importlib.import_module(f"{dashboard.__name__}.{module.name}")).values()
        for handlers in (vars(each) for each in classes if isinstance(each, type)):
            for method in METHODS:
                for operation in getattr(handlers.get(method), "operations", ()):
                    yield method, operation


ROUTES = sorted({(method, each.path, each.scope) for method, each in routes()}, key=str)
PAGES = [path for method, path, _ in ROUTES if method == "GET" and not re.search("static|export|find|rows|ui$", path)]
FORMS = [path for method, path, scope in ROUTES if method == "POST" and scope is not None]


@pytest.fixture
def fill(browse: Browse) -> Callable[..., tuple[PagesClient, Callable[[str], str]]]:
    """A client of a service with one failed job, and what fills the parameters of a path in."""

    def make(**settings: str) -> tuple[PagesClient, Callable[[str], str]]:
        client = browse(**settings)
        job = a_job(state=State.FAILURE, created=1, started=2, finished=3, eta=None, due=None)
        client.jobs.add([job])
        values = {"{uuid}": job.uuid, "{task}": "add", "{name}": "add"}
        return client, lambda path: re.sub(r"\{\w+\}", lambda found: values[found[0]], path)

    return make


Fill = Callable[..., tuple[PagesClient, Callable[[str], str]]]


def test_there_are_pages_and_only_the_frame_is_open_to_everyone() -> None:
    assert {"/ui/jobs", "/ui/jobs/{uuid}", "/ui/tasks", "/ui/tasks/{name}", "/ui/sign-in"} <= set(PAGES)
    assert {"/ui/jobs/{uuid}/cancel", "/ui/jobs/{uuid}/retry", "/ui/tasks/{task}"} <= set(FORMS)
    assert all(each.page and each.path.startswith("/ui") for _, each in routes())
    everyone = {path for _, path, scope in ROUTES if scope is None}
    assert everyone == {"/ui", "/ui/static/{version}/{name}", "/ui/sign-in", "/ui/sign-out"}


@pytest.mark.parametrize("path", PAGES)
def test_page_has_its_policy_and_the_prefix_of_a_proxy(fill: Fill, path: str) -> None:
    client, full = fill(anonymous="anywhere", proxy_addresses="127.0.0.1")
    answer = client.get(full(path), HTTP_X_FORWARDED_PREFIX="/lab")
    assert (answer.status, answer.headers["Content-Security-Policy"]) == (200, rendering.POLICY)
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=)", answer.text)
    targets = re.findall(r"\b(?:href|src|action|formaction)=\"([^\"]*)\"", answer.text)
    assert len(targets) > 8
    assert not [each for each in targets if not each.startswith(("/lab/", "#"))]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("foreign", [{"HTTP_ORIGIN": "http://evil.example"}, {"HTTP_SEC_FETCH_SITE": "cross-site"}])
def test_form_of_another_site_is_refused(fill: Fill, path: str, foreign: dict[str, str]) -> None:
    client, full = fill(anonymous="anywhere")
    answer = client.post(full(path), cookie=client.token("me", "admin"), **foreign)
    assert (answer.status, "A page of another site may not" in answer.text) == (403, True)


@pytest.mark.parametrize("path", FORMS)
def test_form_beyond_the_scope_of_the_token_is_refused(fill: Fill, path: str) -> None:
    client, full = fill(anonymous="none")
    answer = client.post(full(path), cookie=client.token("me", "read"))
    assert (answer.status, "This needs the scope" in answer.text) == (403, True)


@pytest.mark.parametrize("path", FORMS)
def test_read_only_pages_take_no_form(fill: Fill, path: str) -> None:
    client, full = fill(anonymous="anywhere", mode="read-only")
    before = client.get("/events", HTTP_ACCEPT="application/json").text
    answer = client.post(full(path), fields={"uuid": full("{uuid}"), "confirmed": "yes", "a:x": "1", "a:y": "2"})
    assert (answer.status, answer.title) == (403, "Not allowed · Pacifica Dispatcher")
    assert client.get("/events", HTTP_ACCEPT="application/json").text == before
