"""Malformed requests by name, each with the only allowed status of the response."""

from collections.abc import Iterator

HOST = b"Host: localhost\r\n"
HIDDEN = b"GET /dispatch/add/6/6 HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""A request inside another one, which must never be answered."""
Case = tuple[str, bytes, int]


def get(*fields: bytes, target: bytes = b"/health/live", version: bytes = b"HTTP/1.1") -> bytes:
    """A GET with these header lines after its Host."""
    return b"GET " + target + b" " + version + b"\r\n" + HOST + b"".join(line + b"\r\n" for line in fields) + b"\r\n"


def post(*fields: bytes, body: bytes = b"") -> bytes:
    """A POST of JSON with these header lines after its Host."""
    head = b"POST /dispatch/add HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    return head + b"".join(line + b"\r\n" for line in fields) + b"\r\n" + body


LINES: dict[str, tuple[bytes, int]] = {
    "no target": (b"GET HTTP/1.1", 400),
    "no version": (b"GET /", 400),
    "only a method": (b"GET", 400),
    "two spaces before the target": (b"GET  / HTTP/1.1", 400),
    "two spaces before the version": (b"GET /  HTTP/1.1", 400),
    "a tab for a space": (b"GET\t/ HTTP/1.1", 400),
    "a space before the method": (b" GET / HTTP/1.1", 400),
    "a space at the end": (b"GET / HTTP/1.1 ", 400),
    "a space in the target": (b"GET /a b HTTP/1.1", 400),
    "a fourth word": (b"GET / HTTP/1.1 HTTP/1.1", 400),
    "lower-case method": (b"get / HTTP/1.1", 400),
    "mixed-case method": (b"Get / HTTP/1.1", 400),
    "a method of one letter": (b"G / HTTP/1.1", 400),
    "a method of 200 letters": (b"G" * 200 + b" / HTTP/1.1", 400),
    "a method with a digit": (b"GET2 / HTTP/1.1", 400),
    "a method in parentheses": (b"(GET) / HTTP/1.1", 400),
    "a method beyond ASCII": (b"G\xc3\x84T / HTTP/1.1", 400),
    "NUL in the method": (b"G\x00T / HTTP/1.1", 400),
    "NUL in the target": (b"GET /\x00 HTTP/1.1", 400),
    "DEL in the target": (b"GET /\x7f HTTP/1.1", 400),
    "escape in the target": (b"GET /\x1b[2J HTTP/1.1", 400),
    "vertical tab in the target": (b"GET /\x0bx HTTP/1.1", 400),
    "a bare CR in the target": (b"GET /\rx HTTP/1.1", 400),
    "a fragment": (b"GET /tasks#add HTTP/1.1", 400),
    "a target without a slash": (b"GET tasks HTTP/1.1", 400),
    "two slashes": (b"GET //tasks HTTP/1.1", 400),
    "two slashes and a bracket": (b"GET //[ HTTP/1.1", 400),
    "an asterisk for GET": (b"GET * HTTP/1.1", 400),
    "another scheme": (b"GET ftp://localhost/ HTTP/1.1", 400),
    "an absolute target without host": (b"GET http:///tasks HTTP/1.1", 400),
    "an absolute target with a user": (b"GET http://a@localhost/ HTTP/1.1", 400),
    "an authority for GET": (b"GET localhost:80 HTTP/1.1", 400),
    "CONNECT": (b"CONNECT localhost:80 HTTP/1.1", 400),
    "HTTP/0.9": (b"GET / HTTP/0.9", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2", 505),
    "HTTP/2.0": (b"GET / HTTP/2.0", 505),
    "HTTP/9.9": (b"GET / HTTP/9.9", 505),
    "a version of two digits": (b"GET / HTTP/1.10", 400),
    "a version with a plus": (b"GET / HTTP/+1.1", 400),
    "a version without a dot": (b"GET / HTTP/11", 400),
    "a version in lower case": (b"GET / http/1.1", 400),
    "another protocol": (b"GET / ICY/1.1", 400),
    "a version with a space": (b"GET / HTTP/ 1.1", 400),
    "digits that are not ASCII": (b"GET / HTTP/\xd9\xa1.1", 400),
}

FIELDS: dict[str, tuple[tuple[bytes, ...], int]] = {
    "a space before the colon": ((b"X-Name : 1",), 400),
    "a tab before the colon": ((b"X-Name\t: 1",), 400),
    "no colon": ((b"X-Name",), 400),
    "no name": ((b": 1",), 400),
    "a name with a space": ((b"X Name: 1",), 400),
    "a name in parentheses": ((b"X(Name): 1",), 400),
    "a name beyond ASCII": ((b"X-N\xc3\xa4me: 1",), 400),
    "a name with NUL": ((b"X-N\x00me: 1",), 400),
    "a folded header": ((b"X-Name: 1", b" 2"), 400),
    "a folded header with a tab": ((b"X-Name: 1", b"\t2"), 400),
    "a space before the first name": ((b" X-Name: 1",), 400),
    "a value with NUL": ((b"X-Name: a\x00b",), 400),
    "a value with escape": ((b"X-Name: a\x1bb",), 400),
    "a value with DEL": ((b"X-Name: a\x7fb",), 400),
    "a value with a bare CR": ((b"X-Name: a\rX-Other: b",), 400),
    "a value with a bare LF": ((b"X-Name: a\nX-Other: b",), 400),
    "a value with CR, NUL, LF": ((b"X-Name: a\r\x00\nb",), 400),
    "two hosts": ((b"Host: localhost",), 400),
    "two different hosts": ((b"Host: evil.example",), 400),
    "two hosts in other letters": ((b"HOST: localhost",), 400),
    "two content types": ((b"Content-Type: text/plain", b"Content-Type: application/json"), 400),
    "two authorizations": ((b"Authorization: Bearer a", b"Authorization: Bearer b"), 400),
    "two idempotency keys": ((b"Idempotency-Key: a", b"Idempotency-Key: b"), 400),
    "another expectation": ((b"Expect: 200-ok",), 417),
    "an empty expectation": ((b"Expect:",), 417),
    "101 headers": (tuple(b"X-%d: 1" % number for number in range(100)), 431),
    "500 headers": (tuple(b"X-%d: 1" % number for number in range(500)), 431),
    "a header of 40 kB": ((b"X-Name: " + b"x" * 40_000,), 431),
    "a name of 40 kB": ((b"x" * 40_000 + b": 1",), 431),
    "99 headers of 1 kB": (tuple(b"X-%d: " % number + b"x" * 1000 for number in range(99)), 431),
}

FRAMES: dict[str, tuple[tuple[bytes, ...], int]] = {
    "length and chunked": ((b"Content-Length: 4", b"Transfer-Encoding: chunked"), 400),
    "chunked and length": ((b"Transfer-Encoding: chunked", b"Content-Length: 4"), 400),
    "chunked and length 0": ((b"Transfer-Encoding: chunked", b"Content-Length: 0"), 400),
    "chunked": ((b"Transfer-Encoding: chunked",), 411),
    "chunked in capitals": ((b"TRANSFER-ENCODING: CHUNKED",), 411),
    "chunked after a tab": ((b"Transfer-Encoding:\tchunked",), 411),
    "chunked without a space": ((b"Transfer-Encoding:chunked",), 411),
    "chunked twice": ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 411),
    "chunked, identity": ((b"Transfer-Encoding: chunked, identity",), 501),
    "identity, chunked": ((b"Transfer-Encoding: identity, chunked",), 501),
    "gzip, chunked": ((b"Transfer-Encoding: gzip, chunked",), 501),
    "identity": ((b"Transfer-Encoding: identity",), 501),
    "an unknown coding": ((b"Transfer-Encoding: xchunked",), 501),
    "an empty coding": ((b"Transfer-Encoding:",), 501),
    "a quoted coding": ((b'Transfer-Encoding: "chunked"',), 501),
    "chunked with a parameter": ((b"Transfer-Encoding: chunked;a=b",), 501),
    "chunked after a vertical tab": ((b"Transfer-Encoding: \x0bchunked",), 400),
    "chunked after a comma": ((b"Transfer-Encoding: ,chunked",), 501),
    "a coding with a space before its colon": ((b"Transfer-Encoding : chunked", b"Content-Length: 4"), 400),
    "a folded coding": ((b"Transfer-Encoding:", b" chunked", b"Content-Length: 4"), 400),
    "a coding after a bare LF": ((b"X: y\nTransfer-Encoding: chunked", b"Content-Length: 4"), 400),
    "a coding after a bare CR": ((b"X: y\rTransfer-Encoding: chunked", b"Content-Length: 4"), 400),
    "two equal lengths": ((b"Content-Length: 4", b"Content-Length: 4"), 400),
    "two lengths": ((b"Content-Length: 0", b"Content-Length: 52"), 400),
    "two lengths in one": ((b"Content-Length: 4, 4",), 400),
    "a length with a plus": ((b"Content-Length: +4",), 400),
    "a negative length": ((b"Content-Length: -4",), 400),
    "a length with an underscore": ((b"Content-Length: 0_4",), 400),
    "a length in hexadecimal": ((b"Content-Length: 0x4",), 400),
    "a length with a fraction": ((b"Content-Length: 4.0",), 400),
    "a length with an exponent": ((b"Content-Length: 1e3",), 400),
    "an empty length": ((b"Content-Length:",), 400),
    "a length of spaces": ((b"Content-Length:    ",), 400),
    "a length with a letter": ((b"Content-Length: 4x",), 400),
    "a length with a space": ((b"Content-Length: 4 4",), 400),
    "a length in other digits": ((b"Content-Length: \xd9\xa4",), 400),
    "a length of 400 digits": ((b"Content-Length: " + b"9" * 400,), 400),
    "a folded length": ((b"Content-Length: 4", b" 4"), 400),
    "a length beyond the limit": ((b"Content-Length: 999999999999999",), 413),
    "a length beyond the limit, and waiting": ((b"Content-Length: 999999999999999", b"Expect: 100-continue"), 413),
}

WHOLE: dict[str, tuple[bytes, int]] = {
    "no host": (b"GET /health/live HTTP/1.1\r\n\r\n", 400),
    "a host with a space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "a host with a slash": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "a host with a user": (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    "a host beyond ASCII": (b"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", 400),
    "lines that end with LF": (b"GET /health/live HTTP/1.1\nHost: localhost\n\n", 400),
    "one line that ends with LF": (b"GET /health/live HTTP/1.1\r\nHost: localhost\nX: 1\r\n\r\n", 400),
    "lines that end with CR": (b"GET /health/live HTTP/1.1\rHost: localhost\r\r", 408),
    "an end of LF, CR, LF": (b"GET /health/live HTTP/1.1\r\nHost: localhost\n\r\n", 400),
    "two empty lines before": (b"\r\n\r\n" + HIDDEN, 400),
    "LF before": (b"\n" + HIDDEN, 400),
    "a byte order mark": (b"\xef\xbb\xbf" + HIDDEN, 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)), 400),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", 400),
    "SMTP": (b"EHLO localhost\r\n", 400),
    "Redis": (b"*1\r\n$4\r\nPING\r\n", 400),
    "the PROXY protocol": (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + HIDDEN, 400),
    "the PROXY protocol 2": (b"\r\n\r\n\x00\r\nQUIT\n" + bytes(16) + HIDDEN, 400),
    "HTTP/2 by prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 505),
    "NUL bytes": (bytes(1000), 400),
    "bytes of all values": (bytes(range(256)) * 4, 400),
    "a line that does not end": (b"GET /" + b"a" * 100_000, 414),
    "a line of 9,000 characters": (get(b"Connection: close", target=b"/dispatch/echo/" + b"a" * 9000), 414),
    "a path that is not UTF-8": (get(b"Connection: close", target=b"/dispatch/echo/%ff"), 400),
    "a raw path that is not UTF-8": (get(b"Connection: close", target=b"/dispatch/echo/\xff"), 400),
    "an empty segment": (get(b"Connection: close", target=b"/dispatch/add//1"), 400),
    "an unknown method": (b"BREW / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", 405),
    "101 headers of HTTP/1.0": (b"GET / HTTP/1.0\r\n" + b"X: 1\r\n" * 101 + b"\r\n", 431),
    "a response": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400),
    "a body that is shorter than announced": (post(b"Content-Length: 4000", body=b"{}"), 408),
    "a head that does not end": (b"GET /health/live HTTP/1.1\r\n" + HOST, 408),
    "a line that stops": (b"GET /heal", 408),
    "a request after a refused one": (get(b"X : 1") + HIDDEN, 400),
    "headers of HTTP/1.0 with chunked": (get(b"Transfer-Encoding: chunked", version=b"HTTP/1.0"), 411),
}


def cases() -> Iterator[Case]:
    for name, (line, status) in LINES.items():
        yield f"line: {name}", line + b"\r\n" + HOST + b"\r\n", status
    for name, (fields, status) in FIELDS.items():
        yield f"header: {name}", get(*fields), status
    for name, (fields, status) in FRAMES.items():
        yield f"frame: {name}", post(*fields, body=b"0\r\n\r\n" + HIDDEN), status
    for name, (raw, status) in WHOLE.items():
        yield name, raw, status
