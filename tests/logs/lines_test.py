"""The lines of a running service, as an operator sees them: web server and worker, plain and JSON."""

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pacifica.dispatcher.logs.formatters import KEYS

from ..eventually import eventually
from ..processes import Processes, Running

pytestmark = pytest.mark.slow

TASKS = '''
import logging

from celery.utils.log import get_task_logger
from pacifica.dispatcher import task


@task(name="speak", bind=True)
def speak(self, word: str) -> str:
    """Says it by three ways that a task's author may take, and hands it on."""
    logging.getLogger("lab").info("spoken %s", word, extra={"sample": 5})
    get_task_logger("lab").warning("told %s", word)
    print("printed")
    return self.request.id


@task(name="chain", bind=True)
def chain(self) -> str:
    return speak.delay("onward").id


@task(name="again", bind=True, max_retries=1)
def again(self) -> int:
    if not self.request.retries:
        raise self.retry(countdown=0, exc=OSError("not yet"))
    return 1
'''


class Told:
    """A service whose lines are JSON: a web server and a worker."""

    def __init__(self, processes: Processes, web: Running) -> None:
        self.web = web
        self.worker = processes.start_worker()

    def ask(self, method: str, path: str, **headers: str) -> requests.Response:
        return requests.request(method, self.web.url + path, headers=headers, timeout=30)

    def lines(self, **having: Any) -> list[dict[str, Any]]:
        """The lines of both that have these values."""
        text = self.web.output() + self.worker.output()
        found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in found if having.items() <= line.items()]

    def line(self, **having: Any) -> dict[str, Any]:
        """The one line that has these values, once it is there."""
        (found,) = eventually(lambda: self.lines(**having), 30, f"no line has {having}")
        return found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = Path(tmp_path_factory.mktemp("told"))
    with Processes(folder, {"BROKER_URL": "database://"}) as processes:
        (folder / "lab.py").write_text(TASKS, encoding="utf-8")
        processes.write_config("[dispatcher]\ntasks = lab\n[logging]\nformat = json\n")
        yield Told(processes, processes.start_gunicorn(workers=1))


def test_one_id_goes_from_the_request_through_the_relay_to_the_task_and_its_own_logger(told: Told) -> None:
    answer = told.ask("GET", "/dispatch/speak/secret", **{"X-Request-ID": "lab-17"})
    assert answer.headers["X-Request-ID"] == "lab-17"
    job, ids = answer.text.strip(), {"request": "lab-17", "job": answer.text.strip(), "task": "speak"}
    done = told.line(event="succeeded", **ids)
    assert (done["attempt"], done["level"]) == (1, "INFO")
    assert done["ms"] > 0
    assert done["worker"].startswith("test-")
    for event in ("dispatched", "sent", "started"):
        assert told.line(event=event, **ids)["level"] == "INFO"
    assert told.line(event="started", job=job)["waited"] >= 0
    for message, logger in {
        "spoken secret": "lab",
        "told secret": "lab",
        "printed": "celery.redirected",
    }.items():
        assert told.line(message=message, logger=logger, **ids)["attempt"] == 1
    assert told.line(message="spoken secret")["extra"] == {"sample": 5}


def test_a_request_is_one_line_without_what_may_be_secret(told: Told) -> None:
    told.ask("GET", "/dispatch/speak/hush?wait=0", **{"X-Request-ID": "quiet"})
    line = told.line(request="quiet", logger="pacifica.dispatcher.access")
    assert line["message"] == "GET /dispatch/speak/… 200"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/dispatch/speak/…", 200)
    assert (line["bytes"], line["remote"], line["task"]) == (36, "127.0.0.1", "speak")
    assert line["ms"] > 0
    told.ask("GET", f"/status/{line['job']}?token=sesame", **{"X-Request-ID": "seen"})
    assert told.line(request="seen")["path"] == f"/status/{line['job']}"
    assert told.line(request="seen")["job"] == line["job"]
    assert "sesame" not in told.web.output()


@pytest.mark.parametrize("sent", ["a\x1b[2J", "b c", 'd"e', "f" * 129, "\xe9", ""])
def test_an_id_that_is_no_token_is_replaced_and_breaks_no_line(told: Told, sent: str) -> None:
    connection = http.client.HTTPConnection(told.web.url.removeprefix("http://"), timeout=10)
    connection.putrequest("GET", "/nope%0aforged")
    connection.putheader("X-Request-ID", sent.encode("latin-1"))
    connection.endheaders()
    answer = connection.getresponse()
    made = answer.headers["X-Request-ID"]
    connection.close()
    assert re.fullmatch(r"[0-9a-f]{16}", made)
    assert answer.status == 400 or told.line(request=made)["status"] == 404
    assert not {"\x1b", "\x9b"} & set(told.web.output())


def test_a_refused_request_has_an_id_too(told: Told) -> None:
    connection = http.client.HTTPConnection(told.web.url.removeprefix("http://"), timeout=10)
    connection.putrequest("GET", "/tasks")
    connection.putheader("Content-Length", "+1")
    connection.endheaders()
    made = connection.getresponse().headers["X-Request-ID"]
    connection.close()
    assert told.line(request=made)["status"] == 400


def test_a_failure_is_one_line_with_its_traceback_and_a_retry_is_told(told: Told) -> None:
    failed = told.ask("GET", "/dispatch/fail/Oh%20no").text
    line = told.line(event="failed", job=failed)
    assert (line["level"], line["error"], line["reason"]) == ("ERROR", "RuntimeError", "Oh no")
    assert line["exception"].rstrip().endswith("RuntimeError: Oh no")
    again = told.ask("GET", "/dispatch/again").text
    told.line(event="succeeded", job=again)
    assert told.line(event="retried", job=again)["error"] == "OSError"
    assert [line["attempt"] for line in told.lines(event="started", job=again)] == [1, 2]
    said = told.worker.output()
    assert not re.search(rf"Task \w+\[({failed}|{again})\]", said), "Celery tells the same a second time"


def test_a_job_that_waits_and_is_cancelled_is_told_by_the_server(told: Told) -> None:
    url, body = f"{told.web.url}/dispatch/add", {"args": [1, 2], "options": {"countdown": 600}}
    job = requests.post(url, json=body, headers={"X-Request-ID": "first"}, timeout=30).json()["uuid"]
    told.ask("DELETE", f"/status/{job}", **{"X-Request-ID": "second"})
    assert (
        told.line(event="revoked", job=job).items()
        >= {"request": "second", "task": "add", "reason": "cancelled"}.items()
    )
    assert told.line(event="dispatched", job=job)["request"] == "first"


def test_a_job_that_a_task_dispatches_carries_the_request_on(told: Told) -> None:
    outer = told.ask("GET", "/dispatch/chain", **{"X-Request-ID": "root"}).text
    inner = told.line(event="succeeded", task="speak", request="root")["job"]
    assert told.line(event="succeeded", task="chain", request="root")["job"] == outer
    assert "attempt" not in told.line(event="dispatched", job=inner, request="root", task="speak")


def test_probes_are_not_told_and_all_lines_have_the_same_shape(told: Told) -> None:
    told.ask("GET", "/health/live", **{"X-Request-ID": "probe"})
    told.ask("GET", "/tasks", **{"X-Request-ID": "after-probe"})
    told.line(request="after-probe")
    assert told.lines(request="probe") == []
    lines = [*told.lines()]
    assert {"gunicorn.error", "celery.apps.worker", "pacifica.dispatcher.access"} <= {line["logger"] for line in lines}
    assert set().union(*lines) <= set(KEYS)
    begin = {"time", "level", "logger", "process", "message"}
    assert all(begin <= line.keys() and re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", line["time"]) for line in lines)
    web = told.web.output().splitlines()
    assert [line for line in web if not line.startswith("{")] == []


def test_the_embedded_server_and_a_worker_with_a_file_write_plain_lines(processes: Processes) -> None:
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
    assert re.search(started, errors.read_text(encoding="utf-8"), re.MULTILINE)
    assert "access:" not in said
