"""The response of a WSGI application as bytes, and the environment of its request."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pacifica.dispatcher.web.server.exchange import COMMON, Exchange, environment
from pacifica.dispatcher.web.server.head import Head, read_head
from pacifica.dispatcher.web.server.server import addresses

Start = Callable[..., Any]


def head_of(line: bytes, *fields: bytes) -> Head:
    found = read_head(b"\r\n".join((line, b"Host: a", *fields)) + b"\r\n\r\n", 32_768)
    assert isinstance(found, Head), found
    return found


CONNECTIONS = {"Content_Length": "1", "Connection": "close", "Transfer_Encoding": "gzip", "Date": "now"}


class Client:
    """Sends a request to an application, and keeps the pieces of its response."""

    def __init__(self, *fields: bytes, line: bytes = b"GET /a HTTP/1.1", may_stay: bool = True) -> None:
        self.pieces: list[bytes] = []
        self._head = head_of(line, *fields)
        self._may_stay = may_stay

    def request(self, application: Callable[..., Any]) -> bool:
        exchange = Exchange(self._head, self.pieces.append, lambda: self._may_stay)
        return exchange.answer(application, environment(self._head, b"", COMMON))

    @property
    def lines(self) -> list[bytes]:
        return b"".join(self.pieces).partition(b"\r\n\r\n")[0].split(b"\r\n")

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces).partition(b"\r\n\r\n")[2]


def answering(status: str, *parts: bytes, **headers: str) -> Callable[..., Any]:
    """An application; ``_`` in a header's name stands for a hyphen."""

    def application(_: dict[str, Any], start: Start) -> Iterator[bytes]:
        start(status, [(name.replace("_", "-"), value) for name, value in headers.items()])
        yield from parts

    return application


def test_response_of_one_part_is_sent_in_one_piece() -> None:
    client = Client()
    assert client.request(answering("200 OK", b"four", Content_Length="4", Date="now", X_A="b"))
    assert client.lines == [
        b"HTTP/1.1 200 OK",
        b"Content-Length: 4",
        b"Date: now",
        b"X-A: b",
        b"Connection: keep-alive",
    ]
    assert client.body == b"four"
    assert len(client.pieces) == 1


def test_response_without_length_is_chunked_and_empty_parts_are_skipped() -> None:
    client = Client()
    assert client.request(answering("200 OK", b"a" * 16, b"", b"b"))
    assert b"Transfer-Encoding: chunked" in client.lines
    assert client.body == b"10\r\n" + b"a" * 16 + b"\r\n1\r\nb\r\n0\r\n\r\n"
    assert any(line.startswith(b"Date: ") for line in client.lines)


def test_http_1_0_response_without_length_closes_the_connection() -> None:
    client = Client(b"Connection: keep-alive", line=b"GET /a HTTP/1.0")
    assert not client.request(answering("200 OK", b"a", b"b"))
    assert client.lines[0] == b"HTTP/1.0 200 OK"
    assert (client.lines[-1], client.body) == (b"Connection: close", b"ab")


@pytest.mark.parametrize(
    ("line", "status", "there"),
    [
        (b"HEAD /a HTTP/1.1", "200 OK", True),
        (b"GET /a HTTP/1.1", "304 Not Modified", True),
        (b"GET /a HTTP/1.1", "204 No Content", False),
    ],
)
def test_head_304_and_204_are_sent_without_a_body(line: bytes, status: str, there: bool) -> None:
    for parts in ([], [b"four"]):
        client = Client(line=line)
        assert client.request(answering(status, *parts, Content_Length="4"))
        assert (b"Content-Length: 4" in client.lines) is there
        assert client.body == b""
        assert not any(b"chunked" in one for one in client.lines)


@pytest.mark.parametrize(
    ("line", "connection", "may_stay", "stays"),
    [
        (b"GET /a HTTP/1.1", b"X: y", True, True),
        (b"GET /a HTTP/1.1", b"Connection: Close", True, False),
        (b"GET /a HTTP/1.1", b"connection: te, close", True, False),
        (b"GET /a HTTP/1.1", b"X: y", False, False),
        (b"GET /a HTTP/1.0", b"X: y", True, False),
        (b"GET /a HTTP/1.0", b"Connection: Keep-Alive", True, True),
        (b"GET /a HTTP/1.0", b"Connection: keep-alive, close", True, False),
    ],
)
def test_connection_is_kept_if_client_and_server_agree(
    line: bytes, connection: bytes, may_stay: bool, stays: bool
) -> None:
    client = Client(connection, line=line, may_stay=may_stay)
    assert client.request(answering("200 OK", b"a", Content_Length="1")) is stays
    assert client.lines[-1] == (b"Connection: keep-alive" if stays else b"Connection: close")


def test_body_never_exceeds_its_length_and_a_shorter_one_closes() -> None:
    client = Client()
    assert client.request(answering("200 OK", b"abc", b"def", Content_Length="4"))
    assert client.body == b"abcd"
    assert not Client().request(answering("200 OK", b"abc", Content_Length="4"))


@pytest.mark.parametrize("spelled", [str.title, str.lower, str.upper])
def test_hop_by_hop_headers_of_an_application_are_dropped(spelled: Callable[[str], str]) -> None:
    client = Client()
    headers = {spelled(name): value for name, value in CONNECTIONS.items()}
    assert client.request(answering("200 OK", b"ab", **headers))
    assert client.body == b"a"
    assert [line[:4].lower() for line in client.lines].count(b"date") == 1
    assert [line for line in client.lines if line.startswith((b"Connection", b"Transfer"))] == [
        b"Connection: keep-alive"
    ]


@pytest.mark.parametrize("application", ["none", "no start", "not latin", "no number", "its own OSError", "bad name"])
def test_broken_application_is_answered_with_500(application: str) -> None:
    def broken(_: dict[str, Any], start: Start) -> list[bytes]:
        if application == "none":
            return None  # type: ignore[return-value]
        if application == "its own OSError":
            raise FileNotFoundError
        if application != "no start":
            header = {"not latin": ("X", "\u20ac"), "no number": ("Content-Length", "x")}.get(application, ("X Y", "z"))
            start("200 OK", [header])
        return [b"a"]

    client = Client()
    assert not client.request(broken)
    assert client.lines[0] == b"HTTP/1.1 500 Internal Server Error"


@pytest.mark.parametrize("value", ["a\r\nX-Evil: yes", "a\nb", "a\rb", "a\0b"])
def test_header_with_a_line_break_is_not_sent(value: str) -> None:
    client = Client()
    assert not client.request(answering("200 OK", b"body", X_Evil=value))
    assert client.lines[0] == b"HTTP/1.1 500 Internal Server Error"
    assert b"X-Evil" not in b"".join(client.pieces)


def test_failure_before_the_first_part_is_500_and_later_cuts_off() -> None:
    def fail(_: dict[str, Any], start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        raise ValueError("a fault")
        yield b""

    client = Client()
    assert not client.request(fail)
    assert (client.lines[0], client.lines[3]) == (b"HTTP/1.1 500 Internal Server Error", b"Connection: close")

    def fail_late(_: dict[str, Any], start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"part"
        raise ValueError("a fault")

    client = Client()
    assert not client.request(fail_late)
    assert client.body == b"4\r\npart\r\n", "the missing last chunk shows that the response was cut off"


def test_application_may_replace_its_head_and_use_write() -> None:
    def restart(_: dict[str, Any], start: Start) -> list[bytes]:
        start("200 OK", [("X-A", "1")])
        write = start("503 Service Unavailable", [("Content-Length", "6")], (ValueError, ValueError("a"), None))
        write(b"abc")
        with pytest.raises(ValueError, match="too late"):
            start("500 Error", [], (ValueError, ValueError("too late"), None))
        return [b"def"]

    client = Client()
    assert client.request(restart)
    assert client.lines[:2] == [b"HTTP/1.1 503 Service Unavailable", b"Content-Length: 6"]
    assert client.body == b"abcdef"


def test_response_iterable_is_always_closed() -> None:
    class Parts:
        closed = 0

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a"])

        def close(self) -> None:
            self.closed += 1

    def application(_: dict[str, Any], start: Start) -> Parts:
        start("200 OK", [])
        return parts

    def broken(_: bytes) -> None:
        raise ConnectionResetError

    parts = Parts()
    Client().request(application)
    head = head_of(b"GET /a HTTP/1.1")
    assert not Exchange(head, broken, lambda: True).answer(application, environment(head, b"", COMMON))
    assert parts.closed == 2


def test_environment_describes_the_request() -> None:
    head = head_of(
        b"POST /a%2Fb/%C3%A4?c=%20d HTTP/1.1", b"Content-Type:  text/plain ", b"X-Y: 1", b"x-y: 2", b"Content-Length: 3"
    )
    environ = environment(head, b"abc", COMMON | {"REMOTE_ADDR": "127.0.0.1"})
    assert environ.pop("wsgi.input").read() == b"abc"
    assert {name: value for name, value in environ.items() if not name.startswith("wsgi.")} == {
        "REQUEST_METHOD": "POST",
        "RAW_URI": "/a%2Fb/%C3%A4?c=%20d",
        "REQUEST_URI": "/a%2Fb/%C3%A4?c=%20d",
        "PATH_INFO": "/a/b/\xc3\xa4",
        "QUERY_STRING": "c=%20d",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "a",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "HTTP_HOST": "a",
        "HTTP_X_Y": "1, 2",
    }


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("lab", "lab", "80"),
        ("lab:81", "lab", "81"),
        ("[::1]", "[::1]", "80"),
        ("[::1]:81", "[::1]", "81"),
        ("a:b", "a:b", "80"),
    ],
)
def test_server_without_a_name_takes_it_from_the_host_header(host: str, name: str, port: str) -> None:
    found = read_head(b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n", 1000)
    assert isinstance(found, Head)
    environ = environment(found, b"", COMMON)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)
    environ = environment(found, b"", COMMON | {"SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8050"})
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", "8050")


@pytest.mark.parametrize("address", ["", b"\0", b"\0name", b"\xff"])
def test_client_of_a_unix_socket_may_have_any_name(address: str | bytes) -> None:
    found = addresses(address, "/run/dispatcher.sock")
    assert list(found) == ["REMOTE_ADDR"]
    assert isinstance(found["REMOTE_ADDR"], str)
    found = addresses(("127.0.0.1", 5000), ("127.0.0.1", 8050))
    assert found.pop("SERVER_PORT") == "8050"
    assert found == {"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "5000", "SERVER_NAME": "127.0.0.1"}
