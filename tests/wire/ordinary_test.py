"""Well-behaved clients are served, however they use a connection."""

import http.client
import json
import re
import shlex
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
import requests

from ..processes import Processes
from .cases import get, post
from .conftest import HttpServer
from .raw_client import answers, connected, talk, until_closed

pytestmark = pytest.mark.slow

LAST = b"Connection: close"
CURL = shlex.split(
    "curl -svo answer -H 'Expect: 100-continue' --expect100-timeout 30 -H 'Content-Type: application/json' "
    "--data-binary @body"
)


def test_pipelined_requests_are_answered_in_order(server: HttpServer) -> None:
    asked = [get(target=b"/dispatch/nope-%d" % number) for number in range(20)]
    found = talk(server.url, b"".join(asked) + get(LAST))
    assert [answer.status for answer in found] == [404] * 20 + [200]
    assert [
        number for number, answer in enumerate(found[:20]) if f"nope-{number}'" not in answer.problem()["detail"]
    ] == []


@pytest.mark.parametrize(
    "field", [b"X-A: =?nonsense?q?abc?=", b"X-A: =?", b"Cookie: " + b"\\" * 30_000, b'Cookie: a b="c']
)
def test_headers_that_nothing_reads_change_nothing(server: HttpServer, field: bytes) -> None:
    assert [answer.status for answer in talk(server.url, get(field) + get(field, LAST, target=b"/tasks"))] == [200, 200]


def test_refused_request_does_not_lose_earlier_responses(server: HttpServer) -> None:
    assert [answer.status for answer in talk(server.url, get() + get() + get(b"X : 1") + get())] == [200, 200, 400]


def test_refused_request_has_an_id_and_is_counted(server: HttpServer) -> None:
    def counted() -> float:
        text = requests.get(f"{server.url}/metrics", timeout=10).text
        found = re.search(r'http_unread_requests_total\{status="417"\} (\S+)', text)
        return float(found[1]) if found else 0.0

    before = counted()
    (answer,) = talk(server.url, get(b"Expect: 200-ok"))
    assert answer.status == 417
    assert f"request={answer.headers['x-request-id']}" in server.web.output()
    assert counted() == before + 1


def test_requests_after_connection_close_are_not_answered(server: HttpServer) -> None:
    assert [answer.status for answer in talk(server.url, get(LAST) + get() * 50)] == [200]


def test_kept_connection_serves_consecutive_requests(server: HttpServer) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    with closing(connection):
        used = set()
        for _ in range(20):
            connection.request("GET", "/health/live")
            used.add(connection.sock)
            assert connection.getresponse().read() == b'{"status": "ok"}\n'
        assert len(used) == 1


@pytest.mark.parametrize("size", [1, 7, 50])
def test_request_sent_in_pieces_is_one_request(server: HttpServer, size: int) -> None:
    body = b'{"args": [2, 2]}'
    asked = post(b"Content-Length: %d" % len(body), LAST, body=body)
    pieces = [asked[at : at + size] for at in range(0, len(asked), size)]
    with connected(server.url) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(piece)
        assert [answer.status for answer in answers(until_closed(sock))] == [202]


def test_client_may_half_close_after_a_whole_request(server: HttpServer) -> None:
    assert [answer.status for answer in talk(server.url, get(), half_close=True)] == [200]


@pytest.mark.parametrize("part", [b"GET /heal", get()[:-2], post(b"Content-Length: 100", body=b"{}")])
def test_client_that_half_closes_within_a_request_gets_400(server: HttpServer, part: bytes) -> None:
    found = talk(server.url, part, half_close=True)
    assert [answer.status for answer in found] == [400]
    assert "ended before" in found[0].problem()["detail"]


def test_client_that_half_closes_at_once_gets_no_response(server: HttpServer) -> None:
    assert talk(server.url, half_close=True) == []


def test_http_1_0_needs_no_host_and_its_connection_is_closed(server: HttpServer) -> None:
    assert [answer.status for answer in talk(server.url, b"GET /health/live HTTP/1.0\r\n\r\n")] == [200]


def test_absolute_target_names_the_host(server: HttpServer) -> None:
    assert [answer.status for answer in talk(server.url, get(LAST, target=b"http://localhost/tasks"))] == [200]
    found = talk(server.url, get(LAST, target=b"http://rebound.example/tasks"))
    assert [answer.status for answer in found] == [403]


def test_asterisk_target_lists_the_methods_of_the_root(server: HttpServer) -> None:
    found = talk(server.url, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert [(answer.status, answer.headers["allow"]) for answer in found] == [(204, "GET, HEAD, OPTIONS")]


def test_raw_utf_8_in_a_path_is_accepted(server: HttpServer) -> None:
    found = talk(server.url, get(LAST, b"Accept: application/json", target="/dispatch/add/grüß/dich".encode()))
    assert json.loads(found[0].body)["args"] == ["grüß", "dich"]


def test_header_with_underscore_is_not_taken_for_one_with_hyphen(server: HttpServer) -> None:
    assert [
        answer.status for answer in talk(server.url, get(LAST, b"X_Forwarded_For: 10.0.0.1", target=b"/tasks"))
    ] == [200]
    assert [
        answer.status for answer in talk(server.url, get(LAST, b"X-Forwarded-For: 10.0.0.1", target=b"/tasks"))
    ] == [401]


def test_curl_receives_100_continue_for_a_large_body(server: HttpServer, tmp_path: Path) -> None:
    (tmp_path / "body").write_text(json.dumps({"args": ["x" * 2_000_000]}))
    ran = subprocess.run(
        [*CURL, f"{server.url}/dispatch/echo"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    assert "HTTP/1.1 100 Continue" in ran.stderr
    assert ran.stderr.count("< HTTP/1.1") == 2
    assert json.loads((tmp_path / "answer").read_text())["state"] == "PENDING"


def test_largest_body_is_accepted_and_a_larger_one_refused(server: HttpServer) -> None:
    headers = {"Content-Type": "application/json"}
    frame = len(json.dumps({"args": [""]}))
    for size, status in ((16_777_216, 202), (16_777_217, 413)):
        body = json.dumps({"args": ["x" * (size - frame)]})
        assert len(body) == size
        assert (
            requests.post(f"{server.url}/dispatch/echo", data=body, headers=headers, timeout=60).status_code == status
        )


def test_ndjson_batch_is_accepted(server: HttpServer) -> None:
    lines = "".join(json.dumps({"task": "add", "args": [number, "x" * 500]}) + "\n" for number in range(1000))
    headers = {"Content-Type": "application/x-ndjson"}
    answer = requests.post(f"{server.url}/dispatch", data=lines, headers=headers, timeout=60)
    assert len(answer.json()["jobs"]) == 1000


def test_server_without_tls_refuses_settings_for_it(processes: Processes) -> None:
    conf = processes.write_config("[global]\nserver.ssl_certificate = 'cert.pem'\n", "server.conf")
    ran = processes.run("-m", "pacifica.dispatcher", "--cp-config", str(conf))
    assert ran.returncode == 1
    assert "let a proxy on this machine terminate TLS" in ran.stderr


def test_port_in_use_is_named(processes: Processes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ran = processes.run("-m", "pacifica.dispatcher", "-p", port, env={"BROKER_URL": "database://"})
    assert ran.returncode == 1
    assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in ran.stderr
