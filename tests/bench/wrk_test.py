"""The script for wrk, and the figures that it prints."""

import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from bench.requesting import Request
from bench.wrk import Load, WrkError, missing, read, run, script_for

PRINTED = """Running 1s test @ http://127.0.0.1:8050/dispatch/add/2/2
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    12.50ms    3.00ms  40.00ms   80.00%
Requests/sec:   1198.00
bench-wrk {"requests": 1200, "microseconds": 1001650, "refused": 3, "broken": 2}
"""


def test_the_line_of_our_script_is_read() -> None:
    load = read(PRINTED)
    assert load == Load(requests=1200, seconds=1.00165, refused=3, broken=2)
    assert load.accepted == 1197
    assert load.rate == pytest.approx(1197 / 1.00165)


def test_output_without_our_line_is_an_error() -> None:
    with pytest.raises(WrkError, match="did not print its counts"):
        read("unable to connect to 127.0.0.1:8050 Connection refused\n")


def test_a_script_holds_method_headers_and_body() -> None:
    script = script_for(Request("/", "POST", {"Content-Type": "application/json"}, '{"args": ["a\\b"]}'))
    assert 'wrk.method = "POST"' in script
    assert 'wrk.headers["Content-Type"] = "application/json"' in script
    assert r'wrk.body = "{\"args\": [\"a\\b\"]}"' in script


def test_a_script_with_paths_sends_them_in_turn() -> None:
    script = script_for(Request("/"), ["/status/a", "/status/b"])
    assert 'local paths, at = {"/status/a", "/status/b"}, 0' in script


def test_text_that_lua_would_read_differently_is_not_sent() -> None:
    with pytest.raises(ValueError, match="cannot send this"):
        script_for(Request("/", headers={"X-Name": "Zoë"}))


def test_a_machine_without_wrk_gets_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "apt-get install wrk" in missing()


class Mixed(BaseHTTPRequestHandler):
    """Answers 304 to a request with an ETag, else 503."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(304 if self.headers["If-None-Match"] else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.mark.usefixtures("wrk")
@pytest.mark.parametrize(("headers", "refused"), [({"If-None-Match": '"1"'}, False), ({}, True)])
def test_answers_of_400_and_above_are_refusals(headers: dict[str, str], refused: bool, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Mixed) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        load = run(f"http://127.0.0.1:{server.server_port}", Request("/", headers=headers), 1, tmp_path, connections=2)
        server.shutdown()
    assert load.requests > 0
    assert load.refused == (load.requests if refused else 0)
