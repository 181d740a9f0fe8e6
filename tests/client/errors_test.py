"""The tree of the client's errors, the imports of the client, and its secrets."""

import pickle
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pacifica.dispatcher.client import DispatcherClient, Retry, errors
from pacifica.dispatcher.client.errors import ClientError
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
