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

Fields = Sequence[tuple[bytes, bytes]]


class Head(NamedTuple):
    """A valid head: its ``length`` as received, the length of the ``body``, and the ``text`` for the server to read.

    The other fields are the parts of the text; spaces around field values are kept.
    """

    length: int
    body: int
    expects: bool
    text: bytes
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

    A head may have ``limit`` bytes. ``text`` is normalized where servers differ: it has no ``Expect`` and no header
    with ``_`` in its name (which WSGI cannot distinguish from ``-``), repeated headers are joined, and the target is
    an ASCII path.
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
    fields: Fields = _FIELD.findall(text, found.end(3))
    values = {name.lower(): value for name, value in fields}
    refusal = _repeated(fields, values) or _unframed(values, minor)
    if refusal:
        return refusal
    if target[:1] != b"/" or target[:2] == b"//" or b"#" in target:
        seen = _other_target(method, target)
        if isinstance(seen, Refusal):
            return seen
        target, values[b"host"] = seen[0], seen[1] or values.get(b"host", b"")
        text = b""
    expects = minor == b"1" and b"expect" in values
    if not text or not _is_plain(target, fields, values):
        target = _BEYOND_ASCII.sub(lambda found: f"%{found[0][0]:02X}".encode(), target)
        fields = _joined(fields, values)
        text = _written(method, target, minor, fields)
    length = int(values.get(b"content-length", 0))
    return Head(end + len(END), length, expects, text, method, target, minor, fields)


def _value(values: Mapping[bytes, bytes], name: bytes) -> bytes | None:
    found = values.get(name)
    return found if found is None else found.strip(BLANKS)


def _bad(sentence: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, sentence)


def _repeated(fields: Fields, values: Mapping[bytes, bytes]) -> Refusal | None:
    if len(fields) > MOST_FIELDS:
        return _too_many()
    if len(values) != len(fields):
        names = [name.lower() for name, _ in fields]
        for name in ONCE:
            if names.count(name) > 1:
                return _bad(f"The header {name.decode().title()} must not be repeated.")
    return None


def _unframed(values: Mapping[bytes, bytes], minor: bytes) -> Refusal | None:
    """A refusal if the end of the request or its host is ambiguous."""
    host, length = _value(values, b"host"), _value(values, b"content-length")
    if host is None:
        if minor == b"1":
            return _bad("The header Host is missing.")
    elif not _HOST.fullmatch(host):
        return _bad("The header Host must be a name or an address, optionally with a port.")
    if b"transfer-encoding" in values:
        return _coded(values[b"transfer-encoding"].strip(BLANKS), length)
    if length is not None and not _LENGTH.fullmatch(length):
        return _bad("The header Content-Length must be a number of at most 15 digits.")
    if b"expect" in values and values[b"expect"].strip(BLANKS).lower() != b"100-continue":
        return Refusal(HTTPStatus.EXPECTATION_FAILED, "The only supported expectation is 100-continue.")
    return None


def _coded(coding: bytes, length: bytes | None) -> Refusal:
    if length is not None:
        return _bad("A request must not have both Content-Length and Transfer-Encoding.")
    if coding.lower() == b"chunked":
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


def _is_plain(target: bytes, fields: Fields, values: Mapping[bytes, bytes]) -> bool:
    if b"expect" in values or len(values) != len(fields) or not target.isascii():
        return False
    return not any(b"_" in name for name in values)


def _joined(fields: Fields, values: Mapping[bytes, bytes]) -> Fields:
    """Each header once, without those that are hidden from the server."""
    joined: dict[bytes, bytes] = {}
    for name, value in fields:
        key = name.lower()
        if b"_" not in key and key not in {b"expect", b"host"}:
            glue = b"; " if key == b"cookie" else b", "
            joined[key] = joined[key] + glue + value.strip(BLANKS) if key in joined else value.strip(BLANKS)
    if b"host" in values:
        joined[b"host"] = values[b"host"].strip(BLANKS)
    return list(joined.items())


def _written(method: bytes, target: bytes, minor: bytes, fields: Fields) -> bytes:
    lines = [b"%s %s HTTP/1.%s" % (method, target, minor), *(b"%s: %s" % field for field in fields)]
    return b"\r\n".join(lines) + END


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
