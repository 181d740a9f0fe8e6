"""The access log around any WSGI application."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from cherrypy._cpwsgi import ExceptionTrapper

from pacifica.dispatcher.core.tracing import RequestSpan, Tracing
from pacifica.dispatcher.logs import log_context
from pacifica.dispatcher.logs.formatters import FIELDS
from pacifica.dispatcher.logs.setup import ACCESS
from pacifica.dispatcher.web.middleware.access_log import RequestLog, WsgiApplication, loggable
from pacifica.dispatcher.web.middleware.request_spans import TracedRequests

ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/events"}


@pytest.mark.parametrize(
    "path",
    [
        "/dispatch/add/topsecret/2",
        "/%64ispatch/add/topsecret/2",
        "/%2564ispatch/add/topsecret",
        "//dispatch/add/topsecret",
        "/dispatch//topsecret",
        "/dispatch/add%2Ftopsecret",
        "/dispatch%2Fadd%2Ftopsecret",
        "/Dispatch/add/topsecret",
        "/./dispatch/add/topsecret",
        "/dispatch;a=b/add/topsecret",
        "/dispatch\\add\\topsecret",
        "/dispatch/add;topsecret",
        "/dispatch/add\ntopsecret",
    ],
)
def test_no_spelling_of_a_path_shows_arguments(path: str) -> None:
    assert "topsecret" not in loggable(path)
    assert "ispatch" in loggable(path)


@pytest.mark.parametrize(
    "path", ["/dispatch", "/dispatch/lab.add", "/status/7", "/no%70e", "/tasks/dispatch", "/%64ispatch"]
)
def test_path_without_arguments_is_logged_as_sent(path: str) -> None:
    assert loggable(path) == path


def test_path_keeps_its_task() -> None:
    assert loggable("/dispatch/lab.add/1/2") == "/dispatch/lab.add/…"


class Span:
    """A span that records its end."""

    traceparent = ""
    ended: dict[str, Any] | None = None

    def end(self, status: int, route: str | None, *, cut: bool = False) -> None:
        self.ended = {"status": status, "cut": cut}


class RecordedTracing(Tracing):
    """Tracing with a single span."""

    on = True

    def __init__(self, span: Span) -> None:
        self._span = span

    def request(self, method: str, traceparent: str | None, attributes: Any) -> RequestSpan:
        return self._span


def answered(application: WsgiApplication, caplog: pytest.LogCaptureFixture) -> tuple[list[str], Any, Any]:
    """The statuses that the server receives, the fields of the log line, and the end of the span."""
    statuses: list[str] = []
    span = Span()

    def start_response(status: str, headers: Any, *raised: Any) -> None:
        if statuses and sent:
            raise raised[0][1]
        statuses.append(status)

    sent: list[bytes] = []
    traced = TracedRequests(ExceptionTrapper(application), tracing=RecordedTracing(span))
    with caplog.at_level(logging.INFO, ACCESS):
        answer: Any = RequestLog(traced)(dict(ENVIRON), start_response)
        try:
            sent.extend(answer)
        except OSError:
            pass
        finally:
            answer.close()
    return statuses, getattr(caplog.records[-1], FIELDS), span.ended


def breaks_after(parts: list[bytes]) -> WsgiApplication:
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])

        def body() -> Iterator[bytes]:
            yield from parts
            raise OSError("The stream broke.")

        return body()

    return application


def test_broken_response_is_logged_with_the_status_that_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    statuses, line, span = answered(breaks_after([b"abc"]), caplog)
    assert statuses == ["200 OK"]
    assert (line["status"], line["cut"], line["bytes"]) == (200, True, 3)
    assert span == {"status": 200, "cut": True}


def test_error_before_the_first_part_is_logged_as_500(caplog: pytest.LogCaptureFixture) -> None:
    statuses, line, span = answered(breaks_after([]), caplog)
    assert statuses[-1].startswith("500")
    assert (line["status"], "cut" in line) == (500, False)
    assert span == {"status": 500, "cut": False}


def test_response_that_the_server_replaces_is_logged_as_sent(caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"abc"
        log_context.note(status=503)

    _, line, _ = answered(application, caplog)
    assert (line["status"], line["bytes"]) == (503, 0)
