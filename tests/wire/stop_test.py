"""gunicorn's worker tells the application how many threads it has, that it begins, and, once, that it stops."""

import signal

import pytest
import requests

from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.wsgi import LazyApplication, WsgiApplication

from ..eventually import eventually
from ..processes import Processes

TOLD = '''
"""An application that says what it is told."""
from pacifica.dispatcher.wsgi import LazyApplication


def build():
    print("begun with", application.threads, flush=True)

    def answer(environ, start_response):
        start_response("200 OK", [("Content-Length", "0"), ("X-Threads", str(application.threads))])
        return [b""]

    application.on_stop.append(lambda: print("told to stop", flush=True))
    return answer


application = LazyApplication(build)
'''


@pytest.mark.parametrize("reason", ["SIGTERM", "SIGINT", "max_requests"])
def test_the_application_is_told_once_when_its_worker_stops(processes: Processes, reason: str) -> None:
    (processes.cwd / "told.py").write_text(TOLD, encoding="utf-8")
    port = "--max-requests", "2" if reason == "max_requests" else "0"
    web = processes.start_gunicorn(*port, "--threads", "3", "told:application", workers=1)
    eventually(lambda: "begun with 3" in web.output())
    with requests.Session() as session:
        assert session.get(web.url, timeout=10).headers["X-Threads"] == "3"
        if reason != "max_requests":
            web.send(signal.Signals[reason])
            web.wait()
        eventually(lambda: "told to stop" in web.output())
    if reason == "max_requests":
        eventually(lambda: web.output().count("Booting worker") == 2)
    assert web.output().count("told to stop") == 1


def test_what_keeps_the_service_from_starting_is_told_at_the_start_and_mended_at_a_request(
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


def test_a_service_that_cannot_start_says_so_by_a_problem_of_its_own() -> None:
    def build() -> WsgiApplication:
        raise DatabaseUnavailable("The database /secret/path sleeps.")

    answers: list[str] = []
    body = b"".join(LazyApplication(build)({}, lambda status, *_: answers.append(status)))
    told = strict_json.loads(body)
    assert answers == ["503 Service Unavailable"]
    assert told["type"] == "urn:pacifica-dispatcher:problem:cannot-start"
    assert "secret" not in told["detail"]


def test_what_fails_at_the_end_keeps_nothing_else_from_being_called(caplog: pytest.LogCaptureFixture) -> None:
    application = LazyApplication(dict)
    called = []
    application.on_stop += [lambda: 1 / 0, lambda: called.append(1)]
    application.stop()
    assert (called, application.threads) == ([1], None)
    assert "ZeroDivisionError" in caplog.text
