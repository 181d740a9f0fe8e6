"""Which requests count as sent from this machine: the guard in front of a handler, without a server."""

from types import SimpleNamespace
from typing import Any

import cherrypy
import pytest

from pacifica.dispatcher.config.settings import AuthSettings
from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.permissions import READ
from pacifica.dispatcher.web import application
from pacifica.dispatcher.web.auth import peer_user
from pacifica.dispatcher.web.auth.guard import Guard
from pacifica.dispatcher.web.operation import Operation
from pacifica.dispatcher.web.request.body import BodyLimits
from pacifica.dispatcher.web.request.request_context import caller

from ..wsgi import respond

LOCAL = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1:8050"}


@cherrypy.expose
class Root:
    """``/``: notes the name of each caller."""

    def __init__(self) -> None:
        self.callers: list[str] = []

    @Operation("/", READ, {200: "object"})
    def GET(self) -> bytes:
        self.callers.append(caller().name)
        return b"{}"


def ask(settings: AuthSettings, root: Root | None = None, **environ: str) -> tuple[int, Any]:
    """The status and the document of the answer; no caller has a token."""
    no_tokens: Any = SimpleNamespace(caller=lambda _: None)
    counts: Any = SimpleNamespace(request=lambda *_: None)
    api = application.build(root or Root(), Guard(settings, no_tokens), BodyLimits(1000, 1000), counts)
    status, _, body = respond(api, "GET", "/", **environ)
    return int(status[:3]), strict_json.loads(body)


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["type"].rpartition(":")[2]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8050", "[::1]:8050", "LOCALHOST", "localhost:"])
def test_program_on_this_machine_needs_no_token(host: str) -> None:
    assert ask(AuthSettings(), **LOCAL | {"HTTP_HOST": host})[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        *("FORWARDED", "VIA", "X_REAL_IP", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_FORWARDED_PROTO"),
        *("X_FORWARDED_PREFIX", "X_FORWARDED_PORT", "X_FORWARDED_SERVER", "X_FORWARDED_USER", "X_CLIENT_IP"),
        *("CF_CONNECTING_IP", "TRUE_CLIENT_IP", "X_ORIGINAL_FORWARDED_FOR", "X_ENVOY_EXTERNAL_ADDRESS", "CDN_LOOP"),
    ],
)
def test_forwarded_request_is_not_from_this_machine(header: str) -> None:
    answer = ask(AuthSettings(), **LOCAL | {f"HTTP_{header}": "127.0.0.1"})
    assert code(answer) == (401, "unauthorized")
    assert "token create" in answer[1]["detail"]


def test_http_1_0_is_not_from_this_machine() -> None:
    """nginx before 1.29.7 forwards like this: its own address as ``Host``, and no header that names the client."""
    answer = ask(AuthSettings(), **LOCAL | {"SERVER_PROTOCOL": "HTTP/1.0", "HTTP_CONNECTION": "close"})
    assert code(answer) == (401, "unauthorized")
    assert "it uses HTTP/1.0, as proxies do" in answer[1]["detail"]
    assert "[auth] proxy_addresses" in answer[1]["detail"]


def test_own_host_name_makes_no_caller_local() -> None:
    named = LOCAL | {"HTTP_HOST": "jobs.lab"}
    assert code(ask(AuthSettings(), **named)) == (403, "foreign-host")
    assert code(ask(AuthSettings(hosts="jobs.lab"), **named)) == (401, "unauthorized")
    assert ask(AuthSettings(hosts="jobs.lab", anonymous="anywhere"), **named)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        *("[::1]evil.example", "[::1].evil.example", "[::1]:80evil", "[::1%evil]", "localhost:80:80", "localhost:x"),
        *("localhost@evil.example", "evil.example@localhost", "localhost:1@evil.example", "localhost:65536"),
        *("localhost/evil", "127.0.0.1,evil.example", "[::1", "::1", "=?utf-8?q?localhost?="),
    ],
)
@pytest.mark.parametrize("settings", [AuthSettings(), AuthSettings(anonymous="anywhere")])
def test_host_that_is_no_name_and_port_is_refused(host: str, settings: AuthSettings) -> None:
    assert code(ask(settings, **LOCAL | {"HTTP_HOST": host})) == (400, "bad-request")


@pytest.mark.parametrize("host", ["127.0.0.1.evil.example", "localhost.evil", "evil.localhost.example", "[::2]", "0"])
def test_host_that_resembles_this_machine_is_foreign(host: str) -> None:
    assert code(ask(AuthSettings(), **LOCAL | {"HTTP_HOST": host})) == (403, "foreign-host")


@pytest.mark.parametrize("user", ["=?utf-8?q?alice?=", "=?utf-8?b?YWxpY2U=?=", "=?nonsense?q?alice?="])
def test_user_name_of_a_proxy_is_taken_as_sent(user: str) -> None:
    root = Root()
    assert ask(AuthSettings(proxy_addresses="127.0.0.1"), root, **LOCAL | {"HTTP_X_FORWARDED_USER": user})[0] == 200
    assert root.callers == [f"user:{user}"]


def test_user_of_a_proxy_is_not_local(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(peer_user, "is_proxy", lambda *given: asked.append(given) is None)
    answer = ask(AuthSettings(), **LOCAL | {"REMOTE_PORT": "4711", "SERVER_PORT": "8050"})
    assert code(answer) == (401, "unauthorized")
    assert "runs as the user of a proxy" in answer[1]["detail"]
    assert asked == [("127.0.0.1", 4711, 8050)]
