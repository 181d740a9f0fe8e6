"""Security against live servers: authorization as a table, tokens, the proxy, the rate limit, browsers, logs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from ..eventually import eventually
from ..processes import Processes, Running, free_port
from .http_test import NOBODY, problem

COMMANDS = "from pacifica.dispatcher.cli import main; main(prog_name='pacifica-dispatcher-cmd')"


@dataclass
class Door:
    """A server that asks everybody for a token, and the means to make one."""

    processes: Processes
    web: Running

    def token(self, name: str, *scopes: str, own: bool = False) -> str:
        """A new token, from the command."""
        given = [word for scope in scopes for word in ("--scope", scope)] + ["--own"] * own
        ran = self.processes.run("-c", COMMANDS, "token", "create", "--name", name, *given, "--expires", "1h")
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def ask(self, method: str, path: str, token: str | None = None, **headers: str) -> requests.Response:
        """One request."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(method, self.web.url + path, headers=sent, timeout=30)


@pytest.fixture(scope="module", params=["embedded", "gunicorn"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """The server, both ways."""
    with Processes(Path(tmp_path_factory.mktemp("door")), {"BROKER_URL": "database://"}) as processes:
        processes.write_config("[auth]\nanonymous = none\n")
        yield Door(processes, processes.start_gunicorn() if request.param == "gunicorn" else processes.start_web())


@pytest.fixture
def embedded(processes: Processes) -> Processes:
    """Where a test starts a server of its own."""
    processes.env["BROKER_URL"] = "database://"
    return processes


def test_a_refusal_says_what_is_missing(door: Door) -> None:
    answer = door.ask("GET", "/tasks")
    problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="pacifica-dispatcher"'
    answer = door.ask("GET", "/tasks", "pd_" + "x" * 43)
    problem(answer, 401, "unauthorized")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    answer = door.ask("GET", "/dispatch/mul/2/2", door.token("globbed", "dispatch:ad?"))
    assert problem(answer, 403, "missing-scope")["scope"] == "dispatch:mul"
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="pacifica-dispatcher", error="insufficient_scope", scope="dispatch"'
    )
    problem(door.ask("GET", "/tasks", X_Forwarded_User="root"), 401, "unauthorized")


def test_own_hides_the_jobs_of_others(door: Door) -> None:
    ann, bob = (door.token(name, "read", "dispatch", "cancel", own=True) for name in ("ann", "bob"))
    boss = door.token("boss", "admin")
    uuid = door.ask("GET", "/dispatch/add/2/2", ann).text
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/retry")):
        found = problem(door.ask(method, f"/status/{uuid}{path}", bob), 404, "unknown-job")
        unknown = problem(door.ask(method, f"/status/{NOBODY}{path}", bob), 404, "unknown-job")
        assert found["detail"].replace(uuid, NOBODY) == unknown["detail"]
    problem(door.ask("GET", f"/result/{uuid}", bob), 404, "unknown-job")
    problem(door.ask("GET", f"/status/{uuid}", door.token("mul", "read:mul")), 404, "unknown-job")
    assert door.ask("GET", f"/status/{uuid}", ann).json()["caller"] == "token:ann"
    assert door.ask("GET", f"/status/{uuid}", boss).status_code == 200
    assert door.ask("POST", f"/status/{uuid}/retry", ann).json()["caller"] == "token:ann"
    assert door.ask("DELETE", f"/status/{uuid}", ann).status_code == 200


def test_a_revoked_token_ends_within_seconds(door: Door) -> None:
    token = door.token("brief", "read")
    assert door.ask("GET", "/tasks", token).status_code == 200
    listed = door.processes.run("-c", COMMANDS, "token", "list").stdout
    assert re.search(r"brief +read +all +20\S+Z +20\S+Z", listed)
    assert token not in listed
    assert door.processes.run("-c", COMMANDS, "token", "revoke", "brief").stdout == "Revoked 1.\n"
    eventually(lambda: door.ask("GET", "/tasks", token).status_code == 401, 10)
    assert door.processes.run("-c", COMMANDS, "token", "revoke", "brief").returncode == 2


def test_every_answer_carries_the_security_headers_and_no_version(door: Door) -> None:
    for method, path in (("GET", "/health/live"), ("GET", "/nope"), ("PUT", "/tasks"), ("GET", "/tasks")):
        headers = door.ask(method, path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert not re.search(r"\d|CherryPy", headers["Server"])


def test_a_browser_changes_nothing_for_another_site(door: Door) -> None:
    token, here = door.token("browser", "admin"), door.web.url
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": here, "Sec-Fetch-Site": "cross-site"},
    ):
        for method, path in (("GET", "/dispatch/add/2/2"), ("POST", "/dispatch/add"), ("DELETE", f"/status/{NOBODY}")):
            problem(door.ask(method, path, token, **headers), 403, "cross-site")
        assert door.ask("GET", "/tasks", token, **headers).status_code == 200
    for headers in ({"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin", "Origin": here}, {}):
        assert door.ask("GET", "/dispatch/add/2/2", token, **headers).status_code == 200


def test_a_page_of_another_site_takes_no_place_of_those_who_wait(door: Door) -> None:
    token = door.token("waiter", "admin")
    uuid = door.ask("GET", "/dispatch/add/2/2", token).text
    other = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    for path, headers in (
        (f"/status/{uuid}?wait=5", {}),
        (f"/result/{uuid}?wait=5", {}),
        (f"/status/{uuid}", {"Prefer": "wait=5"}),
    ):
        told = problem(door.ask("GET", path, token, **headers, **other), 403, "cross-site")
        assert "may not wait or stream here" in told["detail"]
    for path, accept in ((f"/status/{uuid}/events", "text/event-stream"), ("/events", "text/*")):
        asked = {**other, "Accept": accept, "Authorization": f"Bearer {token}"}
        with requests.get(door.web.url + path, headers=asked, stream=True, timeout=30) as answer:
            assert answer.status_code == 403  # Looked at first, as a stream that is let in does not end.
            problem(answer, 403, "cross-site")
    assert door.ask("GET", f"/status/{uuid}?wait=0", token, **other).status_code == 200


@pytest.mark.parametrize("server", ["embedded", "gunicorn"])
def test_without_settings_only_this_machine_is_anonymous(embedded: Processes, server: str) -> None:
    door = Door(embedded, embedded.start_gunicorn() if server == "gunicorn" else embedded.start_web())
    assert door.ask("GET", "/tasks").status_code == 200
    assert door.ask("GET", "/tasks", Host="localhost:1").status_code == 200
    problem(door.ask("GET", "/tasks", Host="rebound.example"), 403, "foreign-host")
    assert door.ask("GET", "/health/live", Host="10.0.0.1").status_code == 200
    for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "X-Forwarded-User"):
        problem(door.ask("GET", "/tasks", **{name: "x"}), 401, "unauthorized")


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "some-name.example"])
def test_the_server_refuses_another_address_and_says_how_to_allow_it(embedded: Processes, address: str) -> None:
    ran = embedded.run("-m", "pacifica.dispatcher", "-a", address, "-p", str(free_port()))
    assert ran.returncode == 1
    assert f"does not listen at {address}" in ran.stderr
    assert "[auth] anonymous = none" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_address_in_a_cherrypy_file_is_refused_too(embedded: Processes) -> None:
    embedded.write_config("[global]\nserver.socket_host = '0.0.0.0'\n", "server.conf")
    ran = embedded.run("-m", "pacifica.dispatcher", "--cp-config", "server.conf", "-p", str(free_port()))
    assert ran.returncode == 1
    assert "does not listen at 0.0.0.0" in ran.stderr


def test_another_address_is_allowed_when_the_configuration_says_so(embedded: Processes) -> None:
    web = embedded.start_web("-a", "0.0.0.0", env={"DISPATCHER_ANONYMOUS": "anywhere"})
    assert requests.get(f"{web.url}/tasks", headers={"Host": "lab.example"}, timeout=30).status_code == 200


def test_a_trusted_proxy_names_the_user_and_an_underscore_does_not(embedded: Processes) -> None:
    embedded.write_config(
        "[auth]\nproxy_addresses = 127.0.0.0/8\nproxy_scopes = dispatch, read:add\nhosts = jobs.lab\n"
    )
    door = Door(embedded, embedded.start_web())
    uuid = door.ask("GET", "/dispatch/add/2/2", X_Forwarded_User="ada", Host="jobs.lab").text
    assert door.ask("GET", f"/status/{uuid}", X_Forwarded_User="ada").json()["caller"] == "user:ada"
    problem(door.ask("DELETE", f"/status/{uuid}", X_Forwarded_User="ada"), 403, "missing-scope")
    problem(door.ask("GET", "/tasks", X_Forwarded_User="ada", Host="other.lab"), 403, "foreign-host")
    problem(door.ask("GET", "/tasks", X_Forwarded_User="ada, eve"), 401, "unauthorized")
    problem(door.ask("GET", "/tasks"), 401, "unauthorized")
    answer = requests.get(f"{door.web.url}/tasks", headers={"X_Forwarded_User": "ada"}, timeout=30)
    problem(answer, 401, "unauthorized")


def test_the_rate_limit_counts_each_caller_and_leaves_probes_alone(embedded: Processes) -> None:
    embedded.write_config("[auth]\nrate_limit = 3\nrate_window = 3600\n")
    door = Door(embedded, embedded.start_web())
    answers = [door.ask("GET", "/tasks") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"default";q=3;w=3600'
    assert answers[0].headers["RateLimit"] == '"default";r=2;t=1200'
    problem(answers[3], 429, "too-many-requests")
    assert 1100 <= int(answers[3].headers["Retry-After"]) <= 1200
    assert door.ask("GET", "/health/live").status_code == 200
    assert door.ask("GET", "/tasks", door.token("other", "read")).status_code == 200


def test_logs_hold_no_token_and_no_control_character_of_a_client(embedded: Processes) -> None:
    door = Door(embedded, embedded.start_web())
    token = door.token("logged", "read")
    agent = {"User-Agent": "a\x9b31mred", "Referer": f"http://x/?access_token=sesame&k={token}"}
    path = f"/nope%0aforged%1b%5b2J?token=sesame&t={token}"
    assert requests.get(door.web.url + path, headers={"Authorization": "Bearer sesame"}, timeout=30).status_code == 401
    assert door.ask("GET", path, token, **agent).status_code == 404
    door.web.wait_until_it_says(r"nope.* 404 ")
    said = door.web.output()
    assert token not in said
    assert "sesame" not in said
    assert "Traceback" not in said
    assert not {"\x1b", "\x9b"} & set(said)
    assert not re.search(r"^forged", said, re.MULTILINE)


@pytest.mark.parametrize("shown", ["true", "false"])
def test_a_traceback_is_shown_where_the_setting_says_so(embedded: Processes, shown: str) -> None:
    embedded.write_config(f"[auth]\nanonymous = none\nshow_tracebacks = {shown}\n")
    door = Door(embedded, embedded.start_web())
    embedded.start_worker()
    token = door.token("reader", "read", "dispatch", own=True)
    uuid = door.ask("GET", "/dispatch/fail/broken", token).text

    def error() -> Any:
        return door.ask("GET", f"/status/{uuid}", token).json()["error"]

    assert ("Traceback" in eventually(error, 20).get("traceback", "")) is (shown == "true")
    # Who may dispatch the task and not read it has the job again by its key, and not what the task's code looks like.
    headers = {"Authorization": f"Bearer {door.token('blind', 'dispatch', 'read:add')}", "Idempotency-Key": "1"}

    def blind() -> Any:
        url, body = f"{door.web.url}/dispatch/fail", {"args": ["broken"]}
        return requests.post(url, headers=headers, json=body, timeout=30).json()["error"]

    assert eventually(blind, 20).keys() == {"type", "message"}
