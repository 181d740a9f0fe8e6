"""gunicorn's worker notifies the application of its threads, its start and, once, its stop."""

import signal
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
import requests

from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.wsgi import LazyApplication, WsgiApplication

from ..eventually import eventually
from ..processes import Processes

PROGRAM = Path(__file__).parent / "programs" / "notified.py"


@pytest.mark.parametrize("reason", ["SIGTERM", "SIGINT", "max_requests"])
def test_application_is_notified_once_when_its_worker_stops(processes: Processes, reason: str) -> None:
    copy(PROGRAM, processes.cwd)
    port = "--max-requests", "2" if reason == "max_requests" else "0"
    web = processes.start_gunicorn(*port, "--threads", "3", "notified:application", workers=1)
    eventually(lambda: "started with 3" in web.output())
    with requests.Session() as session:
        assert session.get(web.url, timeout=10).headers["X-Threads"] == "3"
        if reason != "max_requests":
            web.send(signal.Signals[reason])
            web.wait()
        eventually(lambda: "stopping" in web.output())
    if reason == "max_requests":
        eventually(lambda: web.output().count("Booting worker") == 2)
    assert web.output().count("stopping") == 1


def test_failed_start_is_logged_and_retried_at_the_next_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reasons: list[Exception] = [DatabaseUnavailable("The database sleeps."), ZeroDivisionError("a mistake of ours")]

    def build() -> WsgiApplication:
        if reasons:
            raise reasons.pop()
        return lambda *_: [b"served"]

    application = LazyApplication(build)
    application.begin()
    assert "ZeroDivisionError" in caplog.text
    application.begin()
    assert caplog.messages[-1].endswith("the next request tries again: The database sleeps.")
    assert application({}, lambda *_: None) == [b"served"]


def test_service_that_cannot_start_answers_with_its_own_problem() -> None:
    def build() -> WsgiApplication:
        raise DatabaseUnavailable("The database /secret/path sleeps.")

    answers: list[str] = []
    answer: Any = LazyApplication(build)({}, lambda status, *_: answers.append(status))
    problem = strict_json.loads(b"".join(answer))
    answer.close()
    assert answers == ["503 Service Unavailable"]
    assert problem["type"] == "urn:pacifica-dispatcher:problem:cannot-start"
    assert "secret" not in problem["detail"]


def test_failing_stop_callback_does_not_prevent_the_others(caplog: pytest.LogCaptureFixture) -> None:
    application = LazyApplication(dict)
    called = []
    application.on_stop += [lambda: 1 / 0, lambda: called.append(1)]
    application.stop()
    assert (called, application.threads) == ([1], None)
    assert "ZeroDivisionError" in caplog.text
