"""The tree of the client's errors, the imports of the client, and its secrets."""

import io
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from pacifica.dispatcher.client import DispatcherClient, Retry, errors
from pacifica.dispatcher.client.errors import BadAnswer, ClientError
from pacifica.dispatcher.client.values import JobStatus, Problem

from .stub import JOB, Answer, stubbed

LINE = re.compile(r"(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(\s{2,}.+)?\Z")


def drawn() -> Iterator[tuple[str, str]]:
    """Each class of the drawing with its base."""
    trail: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = LINE.match(line)
        if found is None or (trail and not found["branch"]):
            continue
        del trail[len(found["branch"]) // 4 :]
        if trail:
            yield found["name"], trail[-1]
        trail.append(found["name"])


def real(root: type[ClientError]) -> Iterator[tuple[str, str]]:
    """Each class below the root with its base."""
    for below in root.__subclasses__():
        yield below.__name__, root.__name__
        yield from real(below)


def test_drawing_shows_the_real_tree() -> None:
    assert sorted(drawn()) == sorted(real(ClientError))


@pytest.mark.slow
def test_client_imports_nothing_of_the_server() -> None:
    code = "import sys; from pacifica.dispatcher.client import DispatcherClient; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, timeout=60)
    assert not set(ran.stdout.split()) & {"celery", "kombu", "cherrypy", "peewee", "pydantic", "rich", "click"}


def test_token_is_sent_without_surrounding_white_space() -> None:
    with stubbed([Answer()]) as stub, DispatcherClient(stub.url, token=" pd_secretsecret\r\n") as client:
        client.job(JOB["uuid"]).status()
        assert stub.requests[0].headers["Authorization"] == "Bearer pd_secretsecret"


def test_argument_may_have_any_name() -> None:
    signature = DispatcherClient.dispatch.__code__
    assert signature.co_posonlyargcount == 2


def test_next_page_stays_on_the_host_and_errors_hide_passwords() -> None:
    with (
        stubbed([Answer(body={"jobs": [], "next": "@another.example/"})]) as stub,
        DispatcherClient(stub.url) as client,
    ):
        with pytest.raises(ClientError, match="which is not a path"):
            list(client.search())
        assert len(stub.requests) == 1
    for url in ("http://joe:s3cret@127.0.0.1:1", "http://joe:s3cret@?x"):
        with pytest.raises(ClientError) as refused:
            DispatcherClient(url, retries=Retry(1, backoff_factor=0.01)).tasks()
        assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("kind", [errors.JobFailed, errors.JobRevoked, errors.NoResult])
def test_error_of_a_job_can_be_pickled(kind: type[errors.NoResult]) -> None:
    error = kind(JobStatus.of(JOB))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.job.uuid) == (kind, str(error), error.job.uuid)


def test_error_of_an_answer_can_be_pickled() -> None:
    refused = errors.Refused(Problem.bad_item("The line is not JSON."))
    unreachable = errors.NotReachable("The server does not answer.", "timed-out", retry_after=2.0)
    for error in (refused, unreachable, errors.TimedOut("The time is over."), errors.BadValue("It is no JSON.")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


PROBLEM = {"type": "urn:x", "title": "t", "status": 422, "detail": "d", "errors": [{"where": "a", "message": "b"}]}
EVENT = {"id": 1, "job": JOB["uuid"], "at": JOB["created"], "kind": "SUCCESS", "data": {}}
TASK = {"name": "a", "doc": "", "arguments": {}, "result": {}}
MORE = {"error": {"type": "X", "message": "m"}, "published": None, "queue": None, "eta": None, "max_attempts": 3}
EVENTS = "/events?after=0&limit=1000"
NOTHING_VALID = {"type": "urn:pacifica-dispatcher:problem:nothing-valid", "status": 422}
ANSWERS: dict[str, tuple[Callable[[DispatcherClient], object], int, Any, Callable[[Any], Any]]] = {
    "job": (lambda client: client.job(JOB["uuid"]).status().seconds, 200, {**JOB, **MORE}, lambda job: job),
    "page": (lambda client: list(client.search()), 200, {"jobs": [JOB], "next": None}, lambda page: page),
    "event": (lambda client: list(client.history()), 200, EVENT, lambda event: {"events": [event], "next": EVENTS}),
    "history": (lambda client: list(client.history()), 200, {"events": [], "next": EVENTS}, lambda page: page),
    "task": (lambda client: client.tasks(), 200, TASK, lambda task: {"tasks": [task]}),
    "ready": (lambda client: client.ready(), 200, {"status": "ok"}, lambda verdict: verdict),
    "problem": (lambda client: client.tasks(), 422, PROBLEM, lambda problem: problem),
    "unavailable": (lambda client: client.tasks(), 503, PROBLEM, lambda problem: problem),
    "item": (
        lambda client: list(client.batch([{"task": "a"}])),
        202,
        PROBLEM,
        lambda problem: {"jobs": [{"problem": problem}]},
    ),
    "nothing valid": (
        lambda client: list(client.batch([{"task": "a"}])),
        422,
        PROBLEM,
        lambda problem: {**NOTHING_VALID, "jobs": [{"problem": problem}]},
    ),
}
"""A call, the status of its answer, a document in it, and the whole answer with that document."""
WRONG: Sequence[Any] = (None, "x", 7, 1.5, True, [], {}, [1], "2026-01-01T00:00:00", 10**30)


class Canned(HTTPAdapter):
    """Gives every request the same answer, without a connection."""

    def will(self, status: int, body: bytes) -> None:
        self._status, self._body = status, body

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.raw, answer.url = self._status, io.BytesIO(self._body), str(request.url)
        return answer


def distorted(document: Mapping[str, Any]) -> Iterator[Any]:
    """The document without each member, and with values of all kinds in its place, and in that of the document."""
    for name in document:
        yield {other: value for other, value in document.items() if other != name}
        for value in WRONG:
            yield {**document, name: value}
    yield from WRONG


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_of_another_form_raises_only_errors_of_the_client(name: str) -> None:
    call, status, document, whole = ANSWERS[name]
    refused, canned = 0, Canned()
    with requests.Session() as session, DispatcherClient("http://x", session=session, retries=Retry(0)) as client:
        session.mount("http://", canned)
        for each in distorted(document):
            canned.will(status, json.dumps(whole(each)).encode())
            try:
                call(client)
            except ClientError:
                refused += 1
        for body in (b"", b"<html>", b"null", b"\xff", b"[1", b"NaN", b'"\\ud800"', b"[" * 50_000):
            canned.will(status, body)
            with pytest.raises(ClientError):
                call(client)
    assert refused > len(WRONG) / 2


@pytest.mark.parametrize("wrong", ["422", None, True, 1.5, [], "inf"])
def test_problem_whose_status_is_no_integer_is_no_problem(wrong: Any) -> None:
    with stubbed([Answer(422, {**PROBLEM, "status": wrong})]) as stub, DispatcherClient(stub.url) as client:
        with pytest.raises(BadAnswer, match="not a problem document"):
            client.tasks()
        stub.will(Answer(202, {"jobs": [{"problem": {**PROBLEM, "status": wrong}}]}))
        with pytest.raises(BadAnswer):
            list(client.batch([{"task": "add"}]))


def test_search_and_history_end_with_an_error_at_a_page_that_returns() -> None:
    def page(path: str) -> Answer:
        return Answer(body={"jobs": [JOB], "events": [EVENT], "next": path})

    with stubbed([page("/a"), page("/b"), page("/a")]) as stub, DispatcherClient(stub.url) as client:
        with pytest.raises(BadAnswer, match="'/a' as the next page a second time"):
            list(client.search())
        stub.will(page("/a"), page("/b"), page("/a"))
        with pytest.raises(BadAnswer, match="second time"):
            list(client.history())
        stub.will(page("/a"), page("/a"))
        assert len(list(client.history())) == 2  # The last page names itself.


@pytest.mark.parametrize("following", ["/lab/jobs/status?cursor=x", "/status?cursor=x"])
def test_next_page_of_a_service_below_a_prefix_is_found(following: str) -> None:
    answers = [Answer(body={"jobs": [JOB], "next": following}), Answer(body={"jobs": [], "next": None})]
    with stubbed(answers) as stub, DispatcherClient(f"{stub.url}/lab/jobs/") as client:
        list(client.search())
        assert [one.path.partition("?")[0] for one in stub.requests] == ["/lab/jobs/status"] * 2
