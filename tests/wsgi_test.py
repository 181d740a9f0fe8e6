"""The WSGI application: its start in each process, and the end of its waits."""

import os
from typing import Any

import pytest

from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.wsgi import LazyApplication, WsgiApplication


def test_failed_start_is_logged_and_retried_at_the_next_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reasons: list[Exception] = [DatabaseUnavailable("The database sleeps."), ZeroDivisionError("a mistake of ours")]

    def build() -> WsgiApplication:
        if reasons:
            raise reasons.pop()
        return lambda *_: [b"served"]

    application = LazyApplication(build)
    application.begin(8)
    assert "ZeroDivisionError" in caplog.text
    application.begin(8)
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
    assert called == [1]
    assert "ZeroDivisionError" in caplog.text


def test_forked_process_builds_its_own_service(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []

    def build() -> WsgiApplication:
        built.append(os.getpid())
        return lambda *_: [b"served"]

    application = LazyApplication(build)
    for _ in range(2):
        application({}, lambda *_: None)
    assert len(built) == 1
    monkeypatch.setattr(os, "getpid", lambda: 0)  # As in a process that was forked after a request.
    application({}, lambda *_: None)
    assert built[1:] == [0]
