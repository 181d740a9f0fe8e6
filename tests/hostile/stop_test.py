"""gunicorn's worker tells the application how many threads it has, and, once, that it stops."""

import signal

import pytest
import requests

from pacifica.dispatcher.wsgi import LazyApplication

from ..eventually import eventually
from ..processes import Processes

TOLD = '''
"""An application that says what it is told."""
from pacifica.dispatcher.wsgi import LazyApplication


def build():
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
    with requests.Session() as session:
        assert session.get(web.url, timeout=10).headers["X-Threads"] == "3"
        if reason != "max_requests":
            web.send(signal.Signals[reason])
            web.wait()
        eventually(lambda: "told to stop" in web.output())
    if reason == "max_requests":
        eventually(lambda: web.output().count("Booting worker") == 2)
    assert web.output().count("told to stop") == 1


def test_what_fails_at_the_end_keeps_nothing_else_from_being_called(caplog: pytest.LogCaptureFixture) -> None:
    application = LazyApplication(dict)
    called = []
    application.on_stop += [lambda: 1 / 0, lambda: called.append(1)]
    application.stop()
    assert (called, application.threads) == ([1], None)
    assert "ZeroDivisionError" in caplog.text
