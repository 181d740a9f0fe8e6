"""Security of running servers: tokens, anonymous callers, the proxy, the rate limit, browsers, logs."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.tokens import TokenStore

from ..eventually import eventually
from ..processes import Processes, Running, free_port
from .contract import UNKNOWN_UUID, problem

COMMANDS = "from pacifica.dispatcher.cli import main; main(prog_name='pacifica-dispatcher-cmd')"


@dataclass
class ProtectedServer:
    """A server that requires tokens, and a way to make them."""

    processes: Processes
    web: Running

    def token(self, name: str, *scopes: str, own: bool = False) -> str:
        with closing(Database(f"sqliteext:///{self.processes.cwd}/db.sqlite3")) as database:
            return Tokens(TokenStore(database)).create(name, scopes, own=own, lifetime=3600)[0]

    def ask(self, method: str, path: str, token: str | None = None, **headers: str) -> requests.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(method, self.web.url + path, headers=sent, timeout=30)


@pytest.fixture(scope="module", params=["embedded", "gunicorn"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProtectedServer]:
    """The server, embedded and under gunicorn."""
    with Processes(Path(tmp_path_factory.mktemp("protected")), {"BROKER_URL": "database://"}) as processes:
        processes.write_config("[auth]\nanonymous = none\n")
        yield ProtectedServer(
            processes, processes.start_gunicorn() if request.param == "gunicorn" else processes.start_web()
        )


@pytest.fixture
def embedded(processes: Processes) -> Processes:
    """Starts a separate server for a test."""
    processes.env["BROKER_URL"] = "database://"
    return processes


def test_refusal_names_the_missing_token_or_scope(server: ProtectedServer) -> None:
    answer = server.ask("GET", "/tasks")
    problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="pacifica-dispatcher"'
    answer = server.ask("GET", "/tasks", "pd_" + "x" * 43)
    problem(answer, 401, "unauthorized")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    answer = server.ask("GET", "/dispatch/mul/2/2", server.token("globbed", "dispatch:ad?"))
    assert problem(answer, 403, "missing-scope")["scope"] == "dispatch:mul"
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="pacifica-dispatcher", error="insufficient_scope", scope="dispatch"'
    )
    problem(server.ask("GET", "/tasks", X_Forwarded_User="root"), 401, "unauthorized")


def test_own_hides_the_jobs_of_others(server: ProtectedServer) -> None:
    ann, bob = (server.token(name, "read", "dispatch", "cancel", own=True) for name in ("ann", "bob"))
    boss = server.token("boss", "admin")
    uuid = server.ask("GET", "/dispatch/add/2/2", ann).text
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/retry")):
        found = problem(server.ask(method, f"/status/{uuid}{path}", bob), 404, "unknown-job")
        unknown = problem(server.ask(method, f"/status/{UNKNOWN_UUID}{path}", bob), 404, "unknown-job")
        assert found["detail"].replace(uuid, UNKNOWN_UUID) == unknown["detail"]
    problem(server.ask("GET", f"/result/{uuid}", bob), 404, "unknown-job")
    problem(server.ask("GET", f"/status/{uuid}", server.token("mul", "read:mul")), 404, "unknown-job")
    assert server.ask("GET", f"/status/{uuid}", ann).json()["caller"] == "token:ann"
    assert server.ask("GET", f"/status/{uuid}", boss).status_code == 200
    assert server.ask("POST", f"/status/{uuid}/retry", ann).json()["caller"] == "token:ann"
    assert server.ask("DELETE", f"/status/{uuid}", ann).status_code == 200


def test_revoked_token_is_refused_within_seconds(server: ProtectedServer) -> None:
    created = server.processes.run(
        "-c", COMMANDS, "token", "create", "--name", "brief", "--scope", "read", "--expires", "1h"
    )
    token = created.stdout.strip()
    assert server.ask("GET", "/tasks", token).status_code == 200
    listed = server.processes.run("-c", COMMANDS, "token", "list").stdout
    assert re.search(r"brief +read +all +20\S+Z +20\S+Z", listed)
    assert token not in listed
    assert server.processes.run("-c", COMMANDS, "token", "revoke", "brief").stdout == "Revoked 1.\n"
    eventually(lambda: server.ask("GET", "/tasks", token).status_code == 401, 10)
    assert server.processes.run("-c", COMMANDS, "token", "revoke", "brief").returncode == 2


def test_every_response_has_security_headers_and_no_version(server: ProtectedServer) -> None:
    for method, path in (("GET", "/health/live"), ("GET", "/nope"), ("PUT", "/tasks"), ("GET", "/tasks")):
        headers = server.ask(method, path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert not re.search(r"\d|CherryPy", headers["Server"])


def test_browser_request_of_another_site_changes_nothing(server: ProtectedServer) -> None:
    token, own = server.token("browser", "admin"), server.web.url
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": own, "Sec-Fetch-Site": "cross-site"},
    ):
        for method, path in (
            ("GET", "/dispatch/add/2/2"),
            ("POST", "/dispatch/add"),
            ("DELETE", f"/status/{UNKNOWN_UUID}"),
        ):
            problem(server.ask(method, path, token, **headers), 403, "cross-site")
        assert server.ask("GET", "/tasks", token, **headers).status_code == 200
    for headers in ({"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin", "Origin": own}, {}):
        assert server.ask("GET", "/dispatch/add/2/2", token, **headers).status_code == 200


def test_page_of_another_site_may_not_wait_or_stream(server: ProtectedServer) -> None:
    token = server.token("waiter", "admin")
    uuid = server.ask("GET", "/dispatch/add/2/2", token).text
    other = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    for path, headers in (
        (f"/status/{uuid}?wait=5", {}),
        (f"/result/{uuid}?wait=5", {}),
        (f"/status/{uuid}", {"Prefer": "wait=5"}),
    ):
        found = problem(server.ask("GET", path, token, **headers, **other), 403, "cross-site")
        assert "may not wait or stream here" in found["detail"]
    for path, accept in ((f"/status/{uuid}/events", "text/event-stream"), ("/events", "text/*")):
        headers = {**other, "Accept": accept, "Authorization": f"Bearer {token}"}
        with requests.get(server.web.url + path, headers=headers, stream=True, timeout=30) as answer:
            assert answer.status_code == 403  # Checked first, as the body of an admitted stream does not end.
            problem(answer, 403, "cross-site")
    assert server.ask("GET", f"/status/{uuid}?wait=0", token, **other).status_code == 200


@pytest.mark.parametrize("server", ["embedded", "gunicorn"])
def test_without_settings_only_this_machine_is_anonymous(embedded: Processes, server: str) -> None:
    server = ProtectedServer(embedded, embedded.start_gunicorn() if server == "gunicorn" else embedded.start_web())
    assert server.ask("GET", "/tasks").status_code == 200
    assert server.ask("GET", "/tasks", Host="localhost:1").status_code == 200
    problem(server.ask("GET", "/tasks", Host="rebound.example"), 403, "foreign-host")
    assert server.ask("GET", "/health/live", Host="10.0.0.1").status_code == 200
    for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "X-Forwarded-User"):
        problem(server.ask("GET", "/tasks", **{name: "x"}), 401, "unauthorized")


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "some-name.example"])
def test_server_refuses_another_address_and_explains_how_to_allow_it(embedded: Processes, address: str) -> None:
    ran = embedded.run("-m", "pacifica.dispatcher", "-a", address, "-p", str(free_port()))
    assert ran.returncode == 1
    assert f"does not listen at {address}" in ran.stderr
    assert "[auth] anonymous = none" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_address_in_a_cherrypy_file_is_refused_too(embedded: Processes) -> None:
    embedded.write_config("[global]\nserver.socket_host = '0.0.0.0'\n", "server.conf")
    ran = embedded.run("-m", "pacifica.dispatcher", "--cp-config", "server.conf", "-p", str(free_port()))
    assert ran.returncode == 1
    assert "does not listen at 0.0.0.0" in ran.stderr


def test_another_address_is_allowed_by_the_configuration(embedded: Processes) -> None:
    web = embedded.start_web("-a", "0.0.0.0", env={"DISPATCHER_ANONYMOUS": "anywhere"})
    assert requests.get(f"{web.url}/tasks", headers={"Host": "lab.example"}, timeout=30).status_code == 200


def test_trusted_proxy_names_the_user_in_its_header_only(embedded: Processes) -> None:
    embedded.write_config(
        "[auth]\nproxy_addresses = 127.0.0.0/8\nproxy_scopes = dispatch, read:add\nhosts = jobs.lab\n"
    )
    server = ProtectedServer(embedded, embedded.start_web())
    uuid = server.ask("GET", "/dispatch/add/2/2", X_Forwarded_User="ada", Host="jobs.lab").text
    assert server.ask("GET", f"/status/{uuid}", X_Forwarded_User="ada").json()["caller"] == "user:ada"
    problem(server.ask("DELETE", f"/status/{uuid}", X_Forwarded_User="ada"), 403, "missing-scope")
    problem(server.ask("GET", "/tasks", X_Forwarded_User="ada", Host="other.lab"), 403, "foreign-host")
    problem(server.ask("GET", "/tasks", X_Forwarded_User="ada, eve"), 401, "unauthorized")
    problem(server.ask("GET", "/tasks"), 401, "unauthorized")
    answer = requests.get(f"{server.web.url}/tasks", headers={"X_Forwarded_User": "ada"}, timeout=30)
    problem(answer, 401, "unauthorized")


def test_rate_limit_is_per_caller_and_exempts_probes(embedded: Processes) -> None:
    embedded.write_config("[auth]\nrate_limit = 3\nrate_window = 3600\n")
    server = ProtectedServer(embedded, embedded.start_web())
    answers = [server.ask("GET", "/tasks") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"default";q=3;w=3600'
    assert answers[0].headers["RateLimit"] == '"default";r=2;t=1200'
    problem(answers[3], 429, "too-many-requests")
    assert 1100 <= int(answers[3].headers["Retry-After"]) <= 1200
    assert server.ask("GET", "/health/live").status_code == 200
    assert server.ask("GET", "/tasks", server.token("other", "read")).status_code == 200


def test_logs_contain_no_token_and_no_control_character(embedded: Processes) -> None:
    server = ProtectedServer(embedded, embedded.start_web())
    token = server.token("logged", "read")
    agent = {"User-Agent": "a\x9b31mred", "Referer": f"http://x/?access_token=sesame&k={token}"}
    path = f"/nope%0aforged%1b%5b2J?token=sesame&t={token}"
    assert (
        requests.get(server.web.url + path, headers={"Authorization": "Bearer sesame"}, timeout=30).status_code == 401
    )
    assert server.ask("GET", path, token, **agent).status_code == 404
    server.web.wait_until_it_says(r"nope.* 404 ")
    output = server.web.output()
    assert token not in output
    assert "sesame" not in output
    assert "Traceback" not in output
    assert not {"\x1b", "\x9b"} & set(output)
    assert not re.search(r"^forged", output, re.MULTILINE)


@pytest.mark.parametrize("shown", ["anywhere", "none"])
def test_traceback_is_shown_only_by_setting(embedded: Processes, shown: str) -> None:
    embedded.write_config(f"[auth]\nanonymous = none\nshow_tracebacks = {shown}\n")
    server = ProtectedServer(embedded, embedded.start_web())
    embedded.start_worker()
    token = server.token("reader", "read", "dispatch", own=True)
    uuid = server.ask("GET", "/dispatch/fail/broken", token).text

    def error() -> Any:
        return server.ask("GET", f"/status/{uuid}", token).json()["error"]

    assert ("Traceback" in eventually(error, 20).get("traceback", "")) is (shown == "anywhere")
    # A caller who may dispatch the task but not read it gets the job again by its key, without the traceback.
    headers = {"Authorization": f"Bearer {server.token('blind', 'dispatch', 'read:add')}", "Idempotency-Key": "1"}

    def blind() -> Any:
        url, body = f"{server.web.url}/dispatch/fail", {"args": ["broken"]}
        return requests.post(url, headers=headers, json=body, timeout=30).json()["error"]

    assert eventually(blind, 20).keys() == {"type", "message", "at"}
