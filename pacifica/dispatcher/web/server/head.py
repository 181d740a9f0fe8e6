"""Parses the head of a request by one strict grammar for every server (RFC 9112).

Anything that two parsers could interpret differently is refused, so no request can be smuggled inside another.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

MOST_FIELDS = 100
END = b"\r\n\r\n"
BLANKS = b" \t"
ONCE = (b"host", b"content-length", b"content-type", b"authorization", b"idempotency-key", b"expect")
"""Headers that must not be repeated; others are joined (RFC 9110, section 5.3)."""

_NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
_LINE = rb"([A-Z][A-Z-]{2,19}) ([\x21-\x7e\x80-\xff]++) HTTP/1\.([01])\r\n"
_HEAD = re.compile(_LINE + rb"(?:" + _NAME + rb":" + _VALUE + rb"\r\n)*+\r\n")
_FIELD = re.compile(rb"(" + _NAME + rb"):(" + _VALUE + rb")\r\n")
_REQUEST_LINE = re.compile(_LINE)
_OTHER_VERSION = re.compile(rb"[\x21-\x7e]+ [\x21-\x7e\x80-\xff]+ HTTP/\d\.\d\r\n")
_ABSOLUTE = re.compile(rb"(?i:https?)://([A-Za-z0-9.\-_~%:\[\]]++)((?:[/?][^#]*)?)")
_HOST = re.compile(rb"[A-Za-z0-9.\-_~%!$&'()*+,;=:\[\]]*")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BARE = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\x00")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")

Fields = Mapping[bytes, bytes]


class Head(NamedTuple):
    """A valid head: its ``length`` as received, the length of the ``body``, and its parts.

    It is normalized where programs differ: ``fields`` has each header once, by its name in lower case, without
    ``Expect`` and without headers with ``_`` in their name (which WSGI cannot distinguish from ``-``), and the target
    is an ASCII path.
    """

    length: int
    body: int
    expects: bool
    method: bytes
    target: bytes
    minor: bytes
    fields: Fields


class Refusal(NamedTuple):
    """Why a request is refused; ``sentence`` is the message to its client."""

    status: HTTPStatus
    sentence: str


def read_head(data: bytes | bytearray, limit: int) -> Head | Refusal | None:
    """The head, or the refusal, of a request that begins with ``data``; ``None`` if its head is still incomplete.

    A head may have ``limit`` bytes.
    """
    start = 2 if data[:2] == b"\r\n" else 0  # One empty line is ignored (RFC 9112, section 2.2).
    end = data.find(END, start, limit)
    if end < 0:
        return _unfinished(bytes(data[start:limit]), full=len(data) >= limit)
    text = bytes(data[start : end + len(END)])
    found = _HEAD.fullmatch(text)
    if found is None:
        return _fault(text)
    method, target, minor = found.groups()
    fields = _fields(_FIELD.findall(text, found.end(3)))
    if isinstance(fields, Refusal):
        return fields
    if refusal := _unframed(fields, minor):
        return refusal
    expects = fields.pop(b"expect", None) is not None and minor == b"1"
    if target[:1] != b"/" or target[:2] == b"//" or b"#" in target:
        seen = _other_target(method, target)
        if isinstance(seen, Refusal):
            return seen
        target, host = seen
        fields[b"host"] = host or fields.get(b"host", b"")
    if not target.isascii():
        target = _BEYOND_ASCII.sub(lambda found: f"%{found[0][0]:02X}".encode(), target)
    return Head(end + len(END), int(fields.get(b"content-length", 0)), expects, method, target, minor, fields)


def _bad(sentence: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, sentence)


def _fields(lines: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes] | Refusal:
    """Each header once, with its values joined; a refusal if there are too many, or one that must not be repeated."""
    if len(lines) > MOST_FIELDS:
        return _too_many()
    fields: dict[bytes, bytes] = {}
    for sent, text in lines:
        name, value = sent.lower(), text.strip(BLANKS)
        known = fields.get(name)
        if known is not None and name in ONCE:
            return _bad(f"The header {name.decode().title()} must not be repeated.")
        if b"_" not in name:
            fields[name] = value if known is None else b"%s%s %s" % (known, b";" if name == b"cookie" else b",", value)
    return fields


def _unframed(fields: Fields, minor: bytes) -> Refusal | None:
    """A refusal if the end of the request or its host is ambiguous."""
    host, length = fields.get(b"host"), fields.get(b"content-length")
    if host is None:
        if minor == b"1":
            return _bad("The header Host is missing.")
    elif not _HOST.fullmatch(host):
        return _bad("The header Host must be a name or an address, optionally with a port.")
    if b"transfer-encoding" in fields:
        return _coded(fields[b"transfer-encoding"], length)
    if length is not None and not _LENGTH.fullmatch(length):
        return _bad("The header Content-Length must be a number of at most 15 digits.")
    if fields.get(b"expect", b"100-continue").lower() != b"100-continue":
        return Refusal(HTTPStatus.EXPECTATION_FAILED, "The only supported expectation is 100-continue.")
    return None


def _coded(coding: bytes, length: bytes | None) -> Refusal:
    if length is not None:
        return _bad("A request must not have both Content-Length and Transfer-Encoding.")
    if {each.strip(BLANKS).lower() for each in coding.split(b",")} == {b"chunked"}:
        sentence = "Chunked request bodies are not accepted. Send the body with a Content-Length."
        return Refusal(HTTPStatus.LENGTH_REQUIRED, sentence)
    return Refusal(
        HTTPStatus.NOT_IMPLEMENTED, "This transfer coding is not supported. Send the body with a Content-Length."
    )


def _other_target(method: bytes, target: bytes) -> tuple[bytes, bytes] | Refusal:
    """Path and host of a target that is not a plain path (RFC 9112, section 3.2)."""
    if target == b"*" and method == b"OPTIONS":
        return b"/", b""  # the server as a whole, represented by the root
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or absolute[2].startswith(b"//"):
        return _bad("The request target must be a path that begins with one slash and has no fragment.")
    return (absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]), absolute[1]


def _unfinished(data: bytes, *, full: bool) -> Refusal | None:
    """A refusal if the incomplete head is already invalid: its client may wait for a response before it sends more."""
    line, end, _ = data.partition(b"\r\n")
    if end and not _REQUEST_LINE.fullmatch(line + end):
        return _line_fault(line + end)
    if _BARE.search(data):
        return _bad("Each line of the request head must end with CR LF and contain no other CR, LF or NUL.")
    if data.count(b"\n") > MOST_FIELDS + 1:
        return _too_many()
    if not full:
        return None
    if not end:
        return Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "The request line is too long.")
    return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large.")


def _too_many() -> Refusal:
    sentence = f"The request has more than {MOST_FIELDS} headers."
    return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, sentence)


def _fault(text: bytes) -> Refusal:
    line, end, rest = text.partition(b"\r\n")
    if not _REQUEST_LINE.fullmatch(line + end):
        return _line_fault(line + end)
    for field in rest.split(b"\r\n"):
        if field[:1] in {b" ", b"\t"}:
            return _bad("A header must not continue on a second line.")
        if _CONTROL.search(field):
            return _bad("A header must not contain control characters. Each line ends with CR LF.")
        if field and not _FIELD.fullmatch(field + end):
            return _bad("A header must be a name, directly followed by a colon and a value.")
    return _bad("The head of the request is malformed.")


def _line_fault(line: bytes) -> Refusal:
    if _OTHER_VERSION.fullmatch(line) and line[-5:-2] not in {b"1.0", b"1.1"}:
        return Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 and HTTP/1.0 are supported.")
    return _bad("The request line must be a method in capitals, a target and HTTP/1.1, separated by single spaces.")
