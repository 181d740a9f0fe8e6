"""The JSON log lines of a running service: web server and worker."""

import http.client
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pacifica.dispatcher.logs.formatters import KEYS

from ..eventually import eventually
from ..processes import Processes, Running

pytestmark = pytest.mark.slow


PROGRAM = Path(__file__).parent / "programs" / "logging_tasks.py"


class LoggingService:
    """A web server and a worker that log in JSON."""

    def __init__(self, processes: Processes, web: Running) -> None:
        self.web = web
        self.worker = processes.start_worker()

    def request(self, method: str, path: str, **headers: str) -> requests.Response:
        return requests.request(method, self.web.url + path, headers=headers, timeout=30)

    def lines(self, **having: Any) -> list[dict[str, Any]]:
        """The lines of both processes that have these values."""
        text = self.web.output() + self.worker.output()
        found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in found if having.items() <= line.items()]

    def line(self, **having: Any) -> dict[str, Any]:
        """Wait for the only line that has these values."""
        (found,) = eventually(lambda: self.lines(**having), 30, f"no line has {having}")
        return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoggingService]:
    folder = Path(tmp_path_factory.mktemp("service"))
    with Processes(folder, {"BROKER_URL": "database://"}) as processes:
        shutil.copy(PROGRAM, folder)
        processes.write_config("[dispatcher]\ntasks = logging_tasks\n[logging]\nformat = json\n")
        yield LoggingService(processes, processes.start_gunicorn(workers=1))


def test_request_id_reaches_the_worker_and_the_tasks_own_logger(service: LoggingService) -> None:
    answer = service.request("GET", "/dispatch/speak/secret", **{"X-Request-ID": "lab-17"})
    assert answer.headers["X-Request-ID"] == "lab-17"
    job, ids = answer.text.strip(), {"request": "lab-17", "job": answer.text.strip(), "task": "speak"}
    done = service.line(event="succeeded", **ids)
    assert (done["attempt"], done["level"]) == (1, "INFO")
    assert done["ms"] > 0
    assert done["worker"].startswith("test-")
    for event in ("dispatched", "started"):
        assert service.line(event=event, **ids)["level"] == "INFO"
    assert service.line(event="started", job=job)["waited"] >= 0
    for message, logger in {
        "spoken secret": "lab",
        "repeated secret": "lab",
        "printed 1 secret": "celery.redirected",
        "unfinished": "celery.redirected",
    }.items():
        assert service.line(message=message, logger=logger, **ids)["attempt"] == 1
    assert service.line(message="spoken secret")["extra"] == {"sample": 5}


def test_request_is_one_line_without_secrets(service: LoggingService) -> None:
    service.request("GET", "/dispatch/speak/hush?wait=0", **{"X-Request-ID": "quiet"})
    line = service.line(request="quiet", logger="pacifica.dispatcher.access")
    assert line["message"] == "GET /dispatch/speak/… 200"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/dispatch/speak/…", 200)
    assert (line["bytes"], line["remote"], line["task"]) == (36, "127.0.0.1", "speak")
    assert line["ms"] > 0
    service.request("GET", f"/status/{line['job']}?token=sesame", **{"X-Request-ID": "refused"})
    refused = service.line(request="refused")
    assert (refused["path"], refused["job"], refused["status"]) == (f"/status/{line['job']}", line["job"], 400)
    service.request("GET", f"/status/{line['job']}/events", **{"X-Request-ID": "seen"})
    assert service.line(request="seen")["job"] == line["job"]
    assert "sesame" not in service.web.output()


@pytest.mark.parametrize("sent", ["b c", 'd"e', "f" * 129, "\xe9", ""])
def test_request_id_that_is_not_a_token_is_replaced_and_breaks_no_line(service: LoggingService, sent: str) -> None:
    connection = http.client.HTTPConnection(service.web.url.removeprefix("http://"), timeout=10)
    connection.putrequest("GET", "/nope%0aforged")
    connection.putheader("X-Request-ID", sent.encode("latin-1"))
    connection.endheaders()
    answer = connection.getresponse()
    made = answer.headers["X-Request-ID"]
    connection.close()
    assert re.fullmatch(r"[0-9a-f]{16}", made)
    assert answer.status == 400 or service.line(request=made)["status"] == 404
    assert not {"\x1b", "\x9b"} & set(service.web.output())


def test_failure_is_one_line_with_its_traceback_and_retry_is_logged(service: LoggingService) -> None:
    failed = service.request("GET", "/dispatch/fail/Oh%20no").text
    line = service.line(event="failed", job=failed)
    assert (line["level"], line["error"], line["reason"]) == ("ERROR", "RuntimeError", "Oh no")
    assert line["exception"].rstrip().endswith("RuntimeError: Oh no")
    again = service.request("GET", "/dispatch/again").text
    service.line(event="succeeded", job=again)
    assert service.line(event="retried", job=again)["error"] == "OSError"
    assert [line["attempt"] for line in service.lines(event="started", job=again)] == [1, 2]
    output = service.worker.output()
    assert not re.search(rf"Task \w+\[({failed}|{again})\]", output), "Celery logs the same event again"


def test_server_logs_the_cancellation_of_a_waiting_job(service: LoggingService) -> None:
    url, body = f"{service.web.url}/dispatch/add", {"args": [1, 2], "options": {"countdown": 600}}
    job = requests.post(url, json=body, headers={"X-Request-ID": "first"}, timeout=30).json()["uuid"]
    service.request("DELETE", f"/status/{job}", **{"X-Request-ID": "second"})
    assert (
        service.line(event="revoked", job=job).items()
        >= {"request": "second", "task": "add", "reason": "cancelled"}.items()
    )
    assert service.line(event="dispatched", job=job)["request"] == "first"


def test_job_dispatched_by_a_task_keeps_the_request_id(service: LoggingService) -> None:
    outer = service.request("GET", "/dispatch/chain", **{"X-Request-ID": "root"}).text
    inner = service.line(event="succeeded", task="speak", request="root")["job"]
    assert service.line(event="succeeded", task="chain", request="root")["job"] == outer
    assert "attempt" not in service.line(event="dispatched", job=inner, request="root", task="speak")


def test_probes_are_not_logged_and_all_lines_have_documented_keys(service: LoggingService) -> None:
    service.request("GET", "/health/live", **{"X-Request-ID": "probe"})
    service.request("GET", "/tasks", **{"X-Request-ID": "after-probe"})
    service.line(request="after-probe")
    assert service.lines(request="probe") == []
    lines = [*service.lines()]
    assert {"gunicorn.error", "celery.apps.worker", "pacifica.dispatcher.access"} <= {line["logger"] for line in lines}
    assert set().union(*lines) <= set(KEYS)
    begin = {"time", "level", "logger", "process", "message"}
    assert all(begin <= line.keys() and re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", line["time"]) for line in lines)
    web = service.web.output().splitlines()
    assert [line for line in web if not line.startswith("{")] == []


def test_embedded_server_and_worker_with_a_file_write_plain_lines(processes: Processes) -> None:
    processes.env["BROKER_URL"] = "database://"
    processes.write_config("[logging]\naccess = off\n")
    processes.write_config("[global]\nlog.error_file = 'errors.txt'\n", "server.conf")
    errors, log = processes.cwd / "errors.txt", processes.cwd / "worker.txt"
    web = processes.start_web("--cp-config", "server.conf")
    celery = ("-m", "celery", "-A", "pacifica.dispatcher.tasks", "worker", "-c", "1", "-l", "info", "-f", str(log))
    processes.start("worker", celery)
    job = requests.get(f"{web.url}/dispatch/add/2/2", headers={"X-Request-ID": "plain-1"}, timeout=30).text
    ended = rf"^\S+Z INFO    jobs: job succeeded ms=\S+ request=plain-1 job={job} task=add attempt=1 worker=\S+$"
    eventually(lambda: log.exists() and re.search(ended, log.read_text(encoding="utf-8"), re.MULTILINE), 60)
    said, started = web.output(), r"^\S+Z INFO    cherrypy.error: ENGINE Bus STARTED$"
    assert re.search(rf"^\S+Z INFO    jobs: job dispatched request=plain-1 job={job} task=add$", said, re.MULTILINE)
    assert re.search(started, said, re.MULTILINE)
    assert f"cherrypy.error: ENGINE Serving on {web.url}\n" in said
    assert re.search(started, errors.read_text(encoding="utf-8"), re.MULTILINE)
    assert "access:" not in said
