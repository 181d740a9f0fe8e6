"""The parser of request heads, without a server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.web.server.head import ONCE, Head, Refusal, read_head

from .cases import cases, get, post

LIMIT = 32_768
TOKEN = st.text("!#$%&'*+-.^`|~09azAZ", min_size=1, max_size=12).map(str.encode)
VALUE = st.binary(max_size=20).map(
    lambda raw: bytes(byte for byte in raw if byte == 9 or 31 < byte != 127).strip(b" \t")
)
TARGET = st.binary(max_size=20).map(lambda raw: b"/a" + bytes(byte for byte in raw if 32 < byte < 127 and byte != 35))
SPECIAL = {*ONCE, b"transfer-encoding"}


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Valid heads that a server may read unchanged."""
    method = draw(st.sampled_from([b"GET", b"POST", b"DELETE", b"M-SEARCH"]))
    fields = draw(st.lists(st.tuples(TOKEN, VALUE), max_size=5, unique_by=lambda field: field[0].lower()))
    fields = [field for field in fields if field[0].lower() not in SPECIAL]
    length = draw(st.none() | st.integers(0, 10**15 - 1))
    if length is not None:
        fields.append((b"CoNtent-Length", str(length).encode()))
    lines = [b"%s %s HTTP/1.%d" % (method, draw(TARGET), draw(st.sampled_from([0, 1])))]
    lines += [
        b"Host: localhost:8050",
        *(name + b":" + draw(st.sampled_from([b"", b" ", b"\t "])) + value for name, value in fields),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def read(raw: bytes) -> Head:
    """The parsed head, which must be valid."""
    found = read_head(raw, LIMIT)
    assert isinstance(found, Head), found
    return found


def written(head: Head) -> bytes:
    """The normalized head as a request."""
    lines = [b"%s: %s" % field for field in head.fields.items()]
    return b"\r\n".join([b"%s %s HTTP/1.%s" % (head.method, head.target, head.minor), *lines]) + b"\r\n\r\n"


@given(heads(), st.binary(max_size=10))
def test_parts_of_a_valid_head_are_not_changed(head: bytes, more: bytes) -> None:
    found = read(head + more)
    line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    fields = [each.partition(b":") for each in lines]
    assert b"%s %s HTTP/1.%s" % (found.method, found.target, found.minor) == line
    assert found.fields == {name.lower(): value.strip(b" \t") for name, _, value in fields}
    assert (found.length, found.expects) == (len(head), False)


@given(st.sampled_from([raw for _, raw, _ in cases()]) | heads() | st.binary(max_size=200), st.data())
def test_splitting_a_request_does_not_change_the_verdict(raw: bytes, data: st.DataObject) -> None:
    whole = read_head(raw, LIMIT)
    part = read_head(raw[: data.draw(st.integers(0, len(raw)))], LIMIT)
    if isinstance(part, Refusal):
        assert isinstance(whole, Refusal)
    elif part is not None:
        assert part == whole


@given(st.binary(max_size=300))
def test_any_bytes_have_a_verdict(raw: bytes) -> None:
    for sent in (
        raw,
        b"GET / HTTP/1.1\r\n" + raw + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + raw + b"\r\n\r\n",
    ):
        assert isinstance(read_head(sent, LIMIT), Head | Refusal | None)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"\r\n" + get(), b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        (
            get(b"X_Forwarded_For: a", b"X-Real: b"),
            b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nx-real: b\r\n\r\n",
        ),
        (get(b"Accept: a", b"accept:  b "), b"GET /health/live HTTP/1.1\r\nhost: localhost\r\naccept: a, b\r\n\r\n"),
        (
            get(b"Cookie: a=1", b"Cookie: b=2"),
            b"GET /health/live HTTP/1.1\r\nhost: localhost\r\ncookie: a=1; b=2\r\n\r\n",
        ),
        (get(target=b"/\xc3\xa4?\xff"), b"GET /%C3%A4?%FF HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        (get(target=b"HTTP://other:80?a=//b"), b"GET /?a=//b HTTP/1.1\r\nhost: other:80\r\n\r\n"),
        (get(target=b"https://[::1]/a/b"), b"GET /a/b HTTP/1.1\r\nhost: [::1]\r\n\r\n"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"OPTIONS / HTTP/1.1\r\nhost: a\r\n\r\n"),
        (get(b"Expect: 100-Continue"), b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    ],
)
def test_ambiguous_but_valid_heads_are_normalized(sent: bytes, text: bytes) -> None:
    found = read(sent)
    assert (written(found), found.length) == (text, len(sent))
    assert written(read(text)) == text


def test_body_length_and_expectation_are_parsed() -> None:
    found = read(post(b"Content-Length: 007", b"Expect: 100-continue"))
    assert (found.body, found.expects) == (7, True)
    assert not read(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects


def test_head_of_exactly_the_limit_is_accepted() -> None:
    head = get()
    assert isinstance(read_head(head, len(head)), Head)
    assert isinstance(read_head(head, len(head) - 1), Refusal)
    assert read_head(head[:-1], len(head)) is None
