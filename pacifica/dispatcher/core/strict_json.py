"""Strict reading and writing of the JSON in rows, requests and answers.

NaN and infinity are not JSON (RFC 8259, section 6) and are refused, also as the value of a number such as ``1e999``.
Text is written as ASCII with escapes, which every database stores and returns unchanged, including NUL and lone
surrogates.
"""

import json
import math
import re
import secrets
from collections import Counter
from collections.abc import Mapping
from typing import Any, NoReturn

from . import control_characters

NON_FINITE = ("NaN", "Infinity", "-Infinity")
"""The texts that stand in results for the numbers that JSON does not have."""

MAX_DIGITS = 1000
"""The most digits of an integer from a client; reading and writing one takes quadratic time."""


class DecodeFault(ValueError):
    """Why a text is not JSON, and where: ``unterminated`` means that a string has no end."""

    def __init__(self, reason: str, position: int, *, unterminated: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position
        self.unterminated = unterminated


class ExactNumber(float):
    """A number that a float does not hold exactly as written, with the digits that were written, such as ``1.10``."""

    __slots__ = ("digits",)

    digits: str


class JsonText:
    """A JSON text in place of its value: only ``pretty`` accepts it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def dumps(value: Any) -> str:
    """The shortest JSON text of a value; raises ``ValueError`` with a sentence if it has no JSON text."""
    try:
        return repr(value) if type(value) is int else _encode(value)  # Each call of _encode builds an encoder.
    except (TypeError, ValueError) as error:
        raise ValueError(f"it is not JSON: {_sentence(error)}") from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def dumps_exact(value: Any) -> str:
    """As ``dumps``, with each ``ExactNumber`` in its own digits."""
    digits: list[str] = []
    mark = secrets.token_hex(8)

    def marked(part: Any) -> Any:
        if isinstance(part, ExactNumber):
            digits.append(part.digits)
            return f"{mark}{len(digits) - 1}"
        if isinstance(part, dict):
            return {key: marked(item) for key, item in part.items()}
        return [marked(item) for item in part] if isinstance(part, (list, tuple)) else part

    try:
        text = dumps(marked(value))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return re.sub(f'"{mark}([0-9]+)"', lambda found: digits[int(found[1])], text) if digits else text


def loads(text: str | bytes, *, exact: bool = False) -> Any:
    """The value of a JSON text in UTF-8; raises ``ValueError`` with a sentence, and no other error.

    ``exact`` is for the text of a client: a number whose digits a float would change becomes an ``ExactNumber``, an
    integer has at most ``MAX_DIGITS``, and an object with one member twice is refused (RFC 7493, section 2.3).
    """
    try:
        # Given bytes, json.loads would also accept UTF-16, UTF-32 and the bytes of lone surrogates.
        plain = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return _decode_exact(plain) if exact else _decode(plain)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError as error:
        raise ValueError(_sentence(error)) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def decode_at(text: str, at: int) -> tuple[Any, int]:
    """The value that begins at this position of a client's text, and where it ends; raises ``DecodeFault``."""
    try:
        return _decode_part(text, at)
    except json.JSONDecodeError as error:
        reason = error.msg.removesuffix(" at")
        raise DecodeFault(reason, error.pos, unterminated=reason.startswith("Unterminated")) from None
    except ValueError as error:
        raise DecodeFault(_sentence(error), at) from None
    except RecursionError:
        raise DecodeFault("it is nested too deeply", at) from None


def check_keys(value: Any) -> None:
    """Raise ``ValueError`` if two keys of a dictionary have the same JSON text, because one value would be lost."""
    if isinstance(value, Mapping):
        other = [key for key in value if not isinstance(key, str)]
        texts = [next(iter(loads(dumps({key: None})))) for key in other]
        if doubled := next((text for text in texts if text in value or texts.count(text) > 1), None):
            raise ValueError(f"two keys of one object have the text {dumps(doubled)}")
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for each in value:
        check_keys(each)


_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def _sentence(error: Exception) -> str:
    """An error's text without Python's advice to change a limit of the interpreter."""
    return str(error).partition("; use sys.")[0]


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:40]} is too large for a float")
    return number


def as_written(digits: str) -> float:
    """The float of a JSON number; an ``ExactNumber`` if the float's own text has other digits."""
    number = _finite(digits)
    if repr(number) == digits:
        return number
    exact = ExactNumber(number)
    exact.digits = digits
    return exact


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer has {len(digits)} digits; {MAX_DIGITS} are allowed")
    return int(digits)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"an object has the member {twice[:80]!r} twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode
_exact = json.JSONDecoder(parse_constant=_refuse, parse_float=as_written, parse_int=_whole, object_pairs_hook=_members)
_decode_exact, _decode_part = _exact.decode, _exact.raw_decode
_encode_pretty = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode


def pretty(value: Any) -> bytes:
    """A line of JSON in UTF-8, with a space after each comma and colon; nothing in it can drive a terminal.

    Each ``JsonText`` within the value is copied as it is.
    """
    try:
        text = _encode_pretty(value)
    except TypeError:
        text = _with_texts(value)
    return control_characters.in_json(text).encode() + b"\n"


def _with_texts(value: Any) -> str:
    texts: list[str] = []
    mark = secrets.token_hex(16)

    def marked(part: Any) -> str:
        if not isinstance(part, JsonText):
            raise TypeError(f"{type(part).__name__} is not JSON")
        texts.append(part.text)
        return mark

    text = json.JSONEncoder(allow_nan=False, ensure_ascii=False, default=marked).encode(value)
    parts = zip(text.split(f'"{mark}"'), [*texts, ""], strict=True)
    return "".join([each for pair in parts for each in pair])
