"""Every link has the path prefix below which the client reaches the service, whichever part names the prefix."""

from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from pacifica.dispatcher import rest
from pacifica.dispatcher.config.settings import AuthSettings, DispatcherSettings
from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.errors import ConfigError
from pacifica.dispatcher.core.registry import Registry, TaskSpec
from pacifica.dispatcher.service.new_job import JobFactory
from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.service.verbs import Service
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.tokens import TokenStore
from pacifica.dispatcher.web.dispatcher import origin_form

from ...store.conftest import a_waiting
from ..wsgi import respond

PREFIX = "/lab/jobs"
PROXY = {"REMOTE_ADDR": "192.0.2.1"}
Environ = dict[str, str]


def add(x: int, y: int) -> int:
    return x + y


class Client:
    """Sends requests to the API as a server below a prefix does."""

    def __init__(self, database: Database) -> None:
        new_jobs = JobFactory(max_attempts=3, keep_keys=0)
        registry = Registry([TaskSpec("add", add)])
        service = Service(registry, JobStore(database), a_waiting(database), new_jobs)
        counts = SimpleNamespace(request=lambda *_: None, dispatched=lambda *_: None)
        monitor: Any = SimpleNamespace(health=None, counts=counts)
        tokens, auth = Tokens(TokenStore(database)), AuthSettings(anonymous="anywhere", proxy_addresses="192.0.2.1")

        def mount(root_path: str) -> Any:
            return rest.mount(service, auth, tokens, DispatcherSettings(root_path=root_path), monitor)

        self._mount = mount

    def follow(self, root_path: str, environ: Callable[[str], Environ]) -> dict[str, str]:
        """Every link that the API gives, by its place."""
        api = self._mount(root_path)

        def ask(target: str) -> tuple[dict[str, str], bytes]:
            path, _, query = target.partition("?")
            status, headers, body = respond(api, "GET", path, **{"QUERY_STRING": query, **environ(target)})
            assert status.startswith("20"), (target, body)
            return headers, body

        dispatched, uuid = ask("/dispatch/add/2/2")
        ask("/dispatch/add/2/2")
        page = ask("/status?limit=1")
        return {
            "location": dispatched["Location"],
            "result": ask(f"/result/{uuid.decode()}")[0]["Location"],
            "next": strict_json.loads(page[1])["next"].partition("?")[0],
            "link": page[0]["Link"].partition("?")[0],
            "events": strict_json.loads(ask("/events")[1])["next"].partition("?")[0],
            "service": strict_json.loads(ask("/")[1])["links"]["tasks"],
            "openapi": strict_json.loads(ask("/openapi.json")[1])["servers"][0]["url"],
            "docs": ask("/docs")[1].partition(b'For programs: <a href="')[2].partition(b'"')[0].decode(),
            "uuid": uuid.decode(),
        }


def expected(prefix: str, uuid: str) -> dict[str, str]:
    return {
        "location": f"{prefix}/status/{uuid}",
        "result": f"{prefix}/status/{uuid}",
        "next": f"{prefix}/status",
        "link": f"<{prefix}/status",
        "events": f"{prefix}/events",
        "service": f"{prefix}/tasks",
        "openapi": prefix or "/",
        "docs": f"{prefix}/openapi.json",
        "uuid": uuid,
    }


@pytest.fixture
def client(sqlite_url: str) -> Iterator[Client]:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        yield Client(database)


def path(target: str) -> str:
    return target.partition("?")[0]


WAYS: dict[str, tuple[str, Callable[[str], Environ]]] = {
    "a setting, removed": (PREFIX, lambda target: {"RAW_URI": target}),
    "a setting, left": (PREFIX, lambda target: {"RAW_URI": PREFIX + target, "PATH_INFO": PREFIX + path(target)}),
    "a setting with a slash": (f"{PREFIX}/", lambda target: {"REQUEST_URI": target}),
    "a setting, only PATH_INFO": (PREFIX, lambda target: {"PATH_INFO": PREFIX + path(target)}),
    "a setting, absolute form": (
        PREFIX,
        lambda target: {"RAW_URI": f"http://localhost{PREFIX}{target}", "PATH_INFO": PREFIX + path(target)},
    ),
    "SCRIPT_NAME": ("", lambda target: {"SCRIPT_NAME": PREFIX, "RAW_URI": PREFIX + target}),
    "SCRIPT_NAME, only PATH_INFO": ("", lambda _: {"SCRIPT_NAME": PREFIX}),
    "SCRIPT_NAME, removed before": ("", lambda target: {"SCRIPT_NAME": PREFIX, "RAW_URI": target}),
    "a trusted proxy, removed": (
        "",
        lambda target: {**PROXY, "HTTP_X_FORWARDED_PREFIX": f"{PREFIX}/", "RAW_URI": target},
    ),
    "a trusted proxy, left": (
        "",
        lambda target: {
            **PROXY,
            "HTTP_X_FORWARDED_PREFIX": PREFIX,
            "RAW_URI": PREFIX + target,
            "PATH_INFO": PREFIX + path(target),
        },
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_link_has_the_prefix(client: Client, way: str) -> None:
    found = client.follow(*WAYS[way])
    assert found == expected(PREFIX, found["uuid"])


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_X_FORWARDED_PREFIX": PREFIX, "REMOTE_ADDR": "192.0.2.2"},
        {"HTTP_X_FORWARDED_PREFIX": PREFIX, "REMOTE_ADDR": "127.0.0.1"},
        *(
            {**PROXY, "HTTP_X_FORWARDED_PREFIX": prefix}
            for prefix in ("//evil.example", "/a, /b", "/..", "/a/../b", "https://evil.example", "/a\\b", "/%2e", "/")
        ),
        {},
    ],
)
def test_other_prefixes_are_ignored(client: Client, environ: Environ) -> None:
    found = client.follow("", lambda target: {"RAW_URI": target, **environ})
    assert found == expected("", found["uuid"])


@pytest.mark.parametrize(
    ("root_path", "environ"),
    [
        (PREFIX, lambda target: {"RAW_URI": f"/lab/jobsite{target}"}),
        ("", lambda target: {"SCRIPT_NAME": PREFIX, "RAW_URI": PREFIX * 2 + target, "PATH_INFO": PREFIX + target}),
        (
            "",
            lambda target: {
                "SCRIPT_NAME": PREFIX,
                "RAW_URI": f"{PREFIX}ite{target}",
                "PATH_INFO": f"ite{path(target)}",
            },
        ),
    ],
    ids=["longer", "twice", "longer, as gunicorn passes it"],
)
def test_path_that_only_resembles_the_prefix_is_unknown(
    client: Client, root_path: str, environ: Callable[[str], Environ]
) -> None:
    with pytest.raises(AssertionError, match="There is no resource"):
        client.follow(root_path, environ)


@pytest.mark.parametrize("root_path", ["/status", "/dispatch/x", "/openapi.json", "/health"])
def test_prefix_that_is_a_route_is_refused(client: Client, root_path: str) -> None:
    with pytest.raises(ConfigError, match="begins with a route"):
        client.follow(root_path, lambda _: {})


@pytest.mark.parametrize(
    ("target", "form"),
    [
        ("/a?b", "/a?b"),
        ("http://host/a//b?c", "/a//b?c"),
        ("http://host", "/"),
        ("http://host?a=/tasks", "/?a=/tasks"),
        ("http://[::1]:80//a", "//a"),
        ("*", "/"),
    ],
)
def test_target_in_absolute_form_loses_scheme_and_host(target: str, form: str) -> None:
    assert origin_form(target) == form
