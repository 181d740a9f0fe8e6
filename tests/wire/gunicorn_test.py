"""The application under gunicorn's own workers."""

import http.client
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from ..processes import Processes, Running, free_port
from .cases import FRAMES, HIDDEN, get, post
from .raw_client import talk

pytestmark = pytest.mark.slow

LAST = b"Connection: close"
SMUGGLING = [name for name in FRAMES if "length" in name and "beyond" not in name and name != "an empty length"]
CERTIFICATE = shlex.split(
    "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 "
    "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
)


@pytest.fixture(scope="module", params=["gthread", "sync", "preload"])
def web(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """gunicorn, with a stock worker class or with an application that is loaded before the fork."""
    options = ("--preload",) if request.param == "preload" else ("-k", request.param, "--threads", "1")
    with Processes(Path(tmp_path_factory.mktemp("gunicorn")), {"BROKER_URL": "database://"}) as processes:
        yield processes.start_gunicorn(*options, workers=1)


def test_requests_are_answered_in_order(web: Running) -> None:
    found = talk(web.url, get(target=b"/dispatch/add/2/2") + get(target=b"/tasks") + get(LAST))
    assert [answer.status for answer in found][:1] == [200]  # The sync worker closes after each response.
    assert {answer.status for answer in found} == {200}


def test_encoded_slash_stays_within_its_segment(web: Running) -> None:
    answer = requests.get(f"{web.url}/dispatch/add/a%2Fb/c", headers={"Accept": "application/json"}, timeout=20)
    assert answer.json()["args"] == ["a/b", "c"]


def test_connections_can_be_used_again_or_are_closed(web: Running) -> None:
    with closing(http.client.HTTPConnection(web.url.removeprefix("http://"), timeout=20)) as connection:
        for _ in range(5):
            connection.request("GET", "/health/live")
            assert connection.getresponse().read() == b'{"status": "ok"}\n'


def test_export_of_several_pages_is_sent_to_its_end(web: Running) -> None:
    jobs = [{"task": "add", "args": [n, n], "options": {"labels": {"part": "export"}}} for n in range(750)]
    assert requests.post(f"{web.url}/dispatch", json=jobs, timeout=60).status_code == 202
    for form, lines in (("csv", 751), ("ndjson", 750)):
        answer = requests.get(f"{web.url}/ui/jobs/export?label=part:export&format={form}", timeout=60)
        assert (answer.status_code, answer.text.count("\n")) == (200, lines)
        assert answer.headers["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize("name", SMUGGLING)
def test_no_hidden_request_is_answered(web: Running, name: str) -> None:
    fields, _ = FRAMES[name]
    found = talk(web.url, post(*fields, body=b"0\r\n\r\n" + HIDDEN))
    assert [answer.status for answer in found if answer.status < 400] == []


def test_stop_ends_the_waits_of_requests(processes: Processes) -> None:
    processes.env["BROKER_URL"] = "database://"
    web = processes.start_gunicorn("--threads", "4", workers=1)
    with requests.get(f"{web.url}/events", headers={"Accept": "text/event-stream"}, stream=True, timeout=20) as answer:
        assert answer.status_code == 200
        assert web.stop(10) == 0


def test_gunicorn_with_its_own_settings_serves(processes: Processes) -> None:
    processes.env["BROKER_URL"] = "database://"
    port = free_port()
    arguments = ("-m", "gunicorn", "-b", f"127.0.0.1:{port}", "pacifica.dispatcher.wsgi:application")
    web = processes.start("gunicorn", arguments, url=f"http://127.0.0.1:{port}")
    web.wait_until_it_serves()
    assert requests.get(f"{web.url}/dispatch/add/2/2", timeout=10).status_code == 200


def test_tls_of_gunicorn_works(processes: Processes) -> None:
    processes.env["BROKER_URL"] = "database://"
    subprocess.run(CERTIFICATE, cwd=processes.cwd, capture_output=True, check=True)
    port = free_port()
    options = shlex.split(f"-c python:pacifica.dispatcher.gunicorn_conf -b 127.0.0.1:{port} --certfile cert.pem")
    arguments = ("-m", "gunicorn", *options, "--keyfile", "key.pem", "pacifica.dispatcher.wsgi:application")
    processes.start("gunicorn", arguments).wait_until_it_says("Booting worker")
    verify = str(processes.cwd / "cert.pem")
    assert requests.get(f"https://localhost:{port}/tasks", verify=verify, timeout=30).status_code == 200
