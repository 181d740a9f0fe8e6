"""The API as a WSGI application, without a server: who may use a route, and what a request reads."""

import gc
import json
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import cherrypy
import pytest

from pacifica.dispatcher import rest
from pacifica.dispatcher.config.settings import AuthSettings, DispatcherSettings
from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.job import JobError, State
from pacifica.dispatcher.core.registry import Registry
from pacifica.dispatcher.service.new_job import JobFactory
from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.service.verbs import Service
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.tokens import TokenStore
from pacifica.dispatcher.web import application
from pacifica.dispatcher.web.auth.guard import Guard
from pacifica.dispatcher.web.operation import Operation, handlers
from pacifica.dispatcher.web.request.body import BodyLimits

from ..store.conftest import a_job, a_waiting
from .wsgi import respond

Answer = tuple[str, Any]


class CountingJobs(JobStore):
    """A store of jobs that counts the rows it reads one by one."""

    reads = 0

    def get(self, uuid: str, *, large_as_text: bool = False) -> Any:
        self.reads += 1
        return super().get(uuid, large_as_text=large_as_text)

    def was_purged(self, uuid: str) -> bool:
        self.reads += 1
        return super().was_purged(uuid)


class Client:
    """Sends requests to the API with a token."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.jobs = CountingJobs(database)
        self._tokens = Tokens(TokenStore(database))
        new_jobs = JobFactory(max_attempts=3, keep_keys=0)
        self._service = Service(Registry([]), self.jobs, a_waiting(database), new_jobs)
        self._settings = AuthSettings(anonymous="none", **settings)
        monitor: Any = SimpleNamespace(
            health=None, counts=SimpleNamespace(request=lambda *_: None, dispatched=lambda *_: None)
        )
        self._api = rest.mount(self._service, self._settings, self._tokens, DispatcherSettings(), monitor)

    def serve(self, root: Any) -> None:
        """Serve another tree of resources with the same guard."""
        counts: Any = SimpleNamespace(request=lambda *_: None)
        self._api = application.build(root, Guard(self._settings, self._tokens), BodyLimits(1000, 1000), counts)

    def token(self, name: str, *scopes: str, own: bool = False) -> str:
        return self._tokens.create(name, scopes, own=own, lifetime=None)[0]

    def request(self, method: str, path: str, token: str) -> Answer:
        """The status and the JSON of the answer."""
        status, _, body = self.respond(method, path, token)
        return status, strict_json.loads(body) if body else None

    def respond(self, method: str, path: str, token: str, **environ: str) -> tuple[str, dict[str, str], bytes]:
        """The status, the headers and the body of the answer."""
        return respond(self._api, method, path, HTTP_AUTHORIZATION=f"Bearer {token}", **environ)


@pytest.fixture
def client(sqlite_url: str) -> Iterator[Client]:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        yield Client(database)


def declared_operations() -> list[tuple[str, Operation]]:
    """The method and the operation of each route."""
    service: Any = SimpleNamespace(registry={}, batch_limit=1)
    monitor: Any = SimpleNamespace(health=None)
    tree = rest.Root(service, monitor, AuthSettings())
    return [(method, each) for method, handler in handlers(tree) for each in vars(handler.__func__)["operations"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("result", ["\u00e9\x7f" * 60_000, [1.5, "\u00e9\u202e"] * 30_000, {"a": {"b": "c" * 110_000}}])
def test_large_values_are_shown_without_being_decoded(
    client: Client, result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kwargs, loads = {"a": result}, strict_json.loads
    job = a_job(args=[result], kwargs=kwargs, result=result, state=State.SUCCESS, finished=1, eta=None, due=None)
    client.jobs.add([job])
    token = client.token("any", "read")
    text = client.respond("GET", f"/result/{job.uuid}", token, HTTP_ACCEPT="text/plain")[2].decode()
    assert text == (result if isinstance(result, str) else strict_json.dumps(result))
    monkeypatch.setattr(strict_json, "loads", lambda text: loads(text) if len(text) < 100_000 else 1 / 0)
    shown = client.respond("GET", f"/status/{job.uuid}", token)[2].decode()
    found = json.loads(shown)
    assert (found["args"], found["kwargs"], found["result"]) == ([result], kwargs, result)
    assert not {"\x7f", "\u202e"} & set(shown)
    assert json.loads(client.respond("GET", "/status", token)[2])["jobs"] == [found]
    assert json.loads(client.respond("GET", f"/result/{job.uuid}", token)[2]) == result


def test_request_leaves_nothing_for_the_garbage_collector(client: Client) -> None:
    client.jobs.add([job := a_job()])
    token = client.token("any", "read")
    client.request("GET", f"/status/{job.uuid}", token)
    gc.collect()
    gc.disable()
    try:
        client.request("GET", f"/status/{job.uuid}", token)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_every_handler_states_for_each_path_the_scope_that_it_requires() -> None:
    declared = [each for _, each in declared_operations()]
    assert {each.path for each in declared if each.scope is None} == {"/health/live", "/health/ready"}
    assert {each.scope for each in declared} == {None, "read", "dispatch", "cancel"}


@cherrypy.expose
class Undeclared:
    """A resource whose handler states no operation."""

    def GET(self) -> bytes:
        raise AssertionError("this handler must not run")


def test_handler_without_an_operation_is_refused(client: Client) -> None:
    client.serve(Undeclared())
    status, problem = client.request("GET", "/", client.token("all", "admin"))
    assert (status, problem["detail"]) == (
        "403 Forbidden",
        "This route declares no scope, so no caller may use it.",
    )


@pytest.mark.parametrize(
    ("scope", "own", "status"),
    [
        ("read", False, "200 OK"),
        ("read:lab.*", False, "200 OK"),
        ("read", True, "200 OK"),
        ("read:other", False, "404 Not Found"),
    ],
)
@pytest.mark.parametrize("path", ["/status/{}", "/result/{}"])
def test_scoped_request_reads_the_row_of_its_job_once(
    client: Client, path: str, scope: str, own: bool, status: str
) -> None:
    job = a_job(task="lab.greet", caller="token:me", state=State.SUCCESS, created=1, finished=1, eta=None, due=None)
    client.jobs.add([job])
    answer = client.request("GET", path.format(job.uuid), client.token("me", scope, own=own))
    assert (answer[0], client.jobs.reads) == (status, 1)


def test_hidden_job_is_indistinguishable_from_an_unknown_one(client: Client) -> None:
    job, unknown = a_job(task="lab.greet", caller="token:me"), a_job().uuid
    client.jobs.add([job])
    token = client.token("other", "admin", own=True)
    routes = [(method, each.path) for method, each in declared_operations() if each.names_job]
    assert len(routes) >= 5
    for method, path in routes:
        before = client.jobs.reads
        hidden = client.request(method, path.replace("{uuid}", job.uuid), token)
        between = client.jobs.reads
        missing = client.request(method, path.replace("{uuid}", unknown), token)
        assert hidden[0] == "404 Not Found", path
        assert str(hidden).replace(job.uuid, unknown) == str(missing)
        assert between - before == client.jobs.reads - between == 1
    stored = client.jobs.get(job.uuid)
    assert (stored.state, stored.cancel) == (job.state, job.cancel)


@pytest.mark.parametrize("path", ["/dispatch/add", "/dispatch/add/2/2"])
def test_get_dispatch_can_be_switched_off(sqlite_url: str, path: str) -> None:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        client = Client(database, get_dispatch="off")
        token = client.token("all", "admin")
        status, headers, body = client.respond("GET", path, token)
        assert (status, strict_json.loads(body)["type"].rpartition(":")[2]) == (
            "405 Method Not Allowed",
            "get-dispatch-off",
        )
        assert "Send POST /dispatch/add" in strict_json.loads(body)["detail"]
        assert client.respond("HEAD", path, token)[0] == status
        assert {"GET", "HEAD"}.isdisjoint(headers["Allow"].split(", "))
        assert client.respond("OPTIONS", path, token)[1]["Allow"] == headers["Allow"]
        assert client.request("GET", path, "unknown")[0] == "401 Unauthorized"
        paths = client.request("GET", "/openapi.json", token)[1]["paths"]
        assert paths["/dispatch/{task}"].keys() == {"post"}
        assert "/dispatch/{task}/{arguments}" not in paths
        assert client.request("GET", "/", token)[1]["links"]["dispatch"] == "/dispatch/{task}"


def test_status_begins_with_the_members_that_people_look_for(client: Client) -> None:
    error = JobError("ValueError", "no", "Traceback …", at="lab.py:54")
    job = a_job(task="lab.greet", state=State.FAILURE, error=error, created=1, finished=1, eta=None, due=None)
    client.jobs.add([job])
    found = client.request("GET", f"/status/{job.uuid}", client.token("all", "read"))[1]
    first = ["uuid", "task", "state", "result", "error", "progress"]
    times = ["created", "eta", "expires", "published", "started", "finished"]
    assert list(found)[: len(first) + len(times)] == first + times
    assert list(found["error"].values())[:3] == ["ValueError", "no", "lab.py:54"]
    result = client.request("GET", f"/result/{job.uuid}", client.token("all", "read"))[1]
    assert result["error"] == {"type": "ValueError", "message": "no", "at": "lab.py:54"}


LOCAL = {"REMOTE_ADDR": "127.0.0.1"}


@pytest.mark.parametrize(
    ("setting", "sender", "shown"),
    [
        ("loopback", LOCAL, True),
        ("loopback", {"REMOTE_ADDR": "10.0.0.9"}, False),
        ("loopback", {**LOCAL, "HTTP_X_FORWARDED_FOR": "127.0.0.1"}, False),
        ("loopback", {**LOCAL, "SERVER_PROTOCOL": "HTTP/1.0"}, False),
        ("none", LOCAL, False),
        ("anywhere", {"REMOTE_ADDR": "10.0.0.9"}, True),
    ],
)
def test_traceback_is_shown_where_the_setting_allows_it(
    sqlite_url: str, setting: str, sender: dict[str, str], *, shown: bool
) -> None:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        client = Client(database, show_tracebacks=setting)
        error = JobError("ValueError", "no", "Traceback …", at="lab.py:54")
        job = a_job(task="lab.greet", state=State.FAILURE, error=error, created=1, finished=1, eta=None, due=None)
        client.jobs.add([job])
        token = client.token("all", "read")
        body = client.respond("GET", f"/status/{job.uuid}", token, **sender)[2]
        assert ("traceback" in strict_json.loads(body)["error"]) is shown
