"""Cancelling and repeating several jobs: the question, the outcomes, and who may do it."""

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.core.job import State, new_uuid
from pacifica.dispatcher.service.verbs import Service

from ..store.conftest import a_job
from .job_rows import ended, failed, rows, stored
from .pages_client import Answer, PagesClient

Browse = Callable[..., PagesClient]


def act(client: PagesClient, action: str, uuids: list[str], cookie: str | None = None, **fields: Any) -> Answer:
    """Send the form of an action for these jobs."""
    given: Any = {"uuid": uuids, "confirmed": "yes", "back": "/ui/jobs", **fields}
    return client.post(f"/ui/jobs/{action}", cookie, given)


def outcome(answer: Answer) -> str:
    """The counts in the address to which the answer leads, without the time."""
    assert answer.status == 303
    return parse_qs(urlsplit(answer.headers["Location"]).query)["done"][0].rpartition(".")[0]


def states(client: PagesClient, uuids: list[str]) -> list[str]:
    return [job.state.value for uuid in uuids if (job := client.jobs.get(uuid)) is not None]


def test_confirmation_counts_the_states_and_changes_nothing(browse: Browse) -> None:
    client = browse()
    made = stored(client, a_job(), a_job(), ended(), failed())
    page = act(client, "cancel", [*made, new_uuid()], confirmed="")
    assert (page.status, page.title) == (200, "Cancel 5 jobs? · Pacifica Dispatcher")
    counts = re.search(r'<ul class="counts">(.*?)</ul>', page.text, re.DOTALL)
    words = re.sub(r"<.*?>|\s+", " ", counts[1] if counts else "").split()
    assert [word for word in words if word.isalnum()] == [
        "2",
        "pending",
        "1",
        "success",
        "1",
        "failure",
        "1",
        "not",
        "found",
    ]
    assert "2 have already ended and stay as they are." in page.text
    assert re.findall(r'name="uuid" value="([^"]+)"', page.text)[:4] == made
    assert states(client, made) == ["PENDING", "PENDING", "SUCCESS", "FAILURE"]
    assert act(client, "retry", made[:1], confirmed="").title.startswith("Run 1 job again?")


def test_cancellation_counts_each_outcome_and_goes_on(browse: Browse) -> None:
    client = browse()
    running = a_job(state=State.STARTED, due=None, holder="w", started=1)
    made = stored(client, a_job(), ended(), running, a_job())
    answer = act(client, "cancel", [made[0], new_uuid(), *made[1:], "<b>"], back="/ui/jobs?task=add")
    assert answer.headers["Location"].startswith("/ui/jobs?task=add&done=")
    assert outcome(answer) == "cancelled-2,stopping-1,ended-1,unknown-2"
    assert states(client, made) == ["REVOKED", "SUCCESS", "STARTED", "REVOKED"]
    shown = client.get(answer.headers["Location"]).text
    assert "2 cancelled, 1 asked to stop, 1 had already ended, 2 not found." in shown
    assert "done=" not in shown


def test_retry_dispatches_new_jobs_and_counts_those_that_cannot_run(browse: Browse) -> None:
    client = browse()
    made = stored(client, ended(args=[1, 2], labels={"run": "7"}), failed(args=["x", 2]), ended(task="gone"), ended())
    assert outcome(act(client, "retry", [*made, new_uuid()])) == "retried-2,unknown-1,failed-2"
    found = rows(client.get("/ui/jobs?state=PENDING"))
    again = [client.jobs.get(uuid) for uuid in found]
    assert sorted(job.replay_of or "" for job in again if job) == sorted([made[0], made[3]])
    assert {tuple((job.labels or {}).items()) for job in again if job} == {(), (("run", "7"),)}


def test_form_that_is_sent_twice_repeats_its_jobs_once(browse: Browse) -> None:
    client = browse(keep_keys=60)
    made = stored(client, ended(), ended())
    key = re.findall(r'name="key" value="([^"]+)"', act(client, "retry", made, confirmed="").text)[0]
    for _ in range(2):
        assert outcome(act(client, "retry", made, key=key)) == "retried-2"
    assert len(rows(client.get("/ui/jobs?state=PENDING"))) == 2
    assert outcome(act(client, "retry", made, key=new_uuid())) == "retried-2"
    assert len(rows(client.get("/ui/jobs?state=PENDING"))) == 4


def test_job_that_the_caller_may_see_but_not_change_is_refused(browse: Browse) -> None:
    client = browse(anonymous="none")
    made = stored(client, a_job(), a_job(task="mul"), a_job(task="secret"))
    token = client.token("some", "read:add", "read:mul", "cancel:add", "dispatch:add")
    assert outcome(act(client, "cancel", made, token)) == "cancelled-1,refused-1,unknown-1"
    assert outcome(act(client, "retry", made, token)) == "retried-1,refused-1,unknown-1"
    assert states(client, made) == ["REVOKED", "PENDING", "PENDING"]


@pytest.mark.parametrize(("action", "other"), [("cancel", "dispatch"), ("retry", "cancel")])
def test_action_needs_its_scope_and_a_form_of_this_site(browse: Browse, action: str, other: str) -> None:
    client = browse(anonymous="none")
    made = stored(client, a_job())
    assert act(client, action, made, client.token("reader", "read", other)).status == 403
    token = client.token("all", "admin")
    foreign = client.post(f"/ui/jobs/{action}", token, {"uuid": made[0]}, HTTP_SEC_FETCH_SITE="cross-site")
    assert (foreign.status, act(client, action, made).status) == (403, 401)
    assert (states(client, made), len(rows(client.get("/ui/jobs", token)))) == (["PENDING"], 1)


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_read_only_mode_refuses_and_shows_no_buttons(browse: Browse, action: str) -> None:
    client = browse(mode="read-only")
    made = stored(client, a_job())
    answer = act(client, action, made)
    assert (answer.status, "read-only" in answer.text, states(client, made)) == (403, True, ["PENDING"])
    assert f'/ui/jobs/{action}">' not in client.get("/ui/jobs").text


def test_number_of_jobs_is_bounded(browse: Browse) -> None:
    client = browse()
    answer = act(client, "cancel", [new_uuid() for _ in range(501)])
    assert (answer.status, "at most 500" in answer.text) == (400, True)
    assert outcome(act(client, "cancel", [new_uuid()] * 501)) == "unknown-1"
    assert act(client, "cancel", []).headers["Location"] == "/ui/jobs"


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/ui/sign-out", "/ui/jobs/x", "/ui/jobs\n?"]
)
def test_action_leads_only_back_to_the_list(browse: Browse, back: str) -> None:
    location = act(browse(), "cancel", [new_uuid()], back=back).headers["Location"]
    assert location.startswith("/ui/jobs?done=unknown-1.")


def test_database_that_fails_in_the_middle_ends_the_action(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    client = browse()
    made = stored(client, *(a_job() for _ in range(4)))
    cancel, calls = Service.cancel, iter(range(9))

    def failing(service: Service, *given: Any) -> Any:
        if next(calls) == 2:
            raise DatabaseUnavailable("The disk is full.")
        return cancel(service, *given)

    monkeypatch.setattr(Service, "cancel", failing)
    assert outcome(act(client, "cancel", made)) == "cancelled-2,left-2"


@pytest.mark.parametrize("text", ["<b>", "cancelled-1234", "hacked-3", "cancelled", ",,", "cancelled-1x"])
def test_summary_in_the_address_is_not_free_text(browse: Browse, text: str) -> None:
    assert 'class="notice"' not in browse().get(f"/ui/jobs?done={text}.{int(time.time())}").text


def test_summary_is_shown_for_a_minute(browse: Browse) -> None:
    client, at = browse(), int(time.time())
    assert 'class="notice"' in client.get(f"/ui/jobs?done=cancelled-1.{at}").text
    for old in (f"cancelled-1.{at - 61}", "cancelled-1", f"cancelled-1.{at + 3600}"):
        assert 'class="notice"' not in client.get(f"/ui/jobs?done={old}").text
