"""The kinds of value that a setting may have: each turns a text into a value, or tells what is allowed."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..core.permissions import parse_grants, parse_networks

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Kind:
    """Called with a text, gives its value, or a ``ValueError`` that says what the text must be.

    ``read`` raises a ``ValueError`` whose text, if any, is the reason; it quotes nothing that may be a password.
    """

    allowed: str
    read: Callable[[str], Any]

    def __call__(self, text: str) -> Any:
        try:
            return self.read(text)
        except ValueError as error:
            reason = f"{error}; it " if str(error) else ""
        raise ValueError(f"{reason}must be {self.allowed}")


def whole_number(low: int, high: int | None = None) -> Kind:
    """ASCII digits and a sign, within the bounds; ``int`` alone would take ``1_000`` and ``\u0661\u0662``."""
    return Kind("a whole number" + _span(low, high), lambda text: _within(_digits(_INTEGER, int, text), low, high))


def number(low: float, high: float | None = None, unit: str = "") -> Kind:
    """ASCII digits with an optional fraction, within the bounds; never infinite."""
    name = f"a number of {unit}" if unit else "a number"
    return Kind(name + _span(low, high), lambda text: _within(_digits(_NUMBER, float, text), low, high))


def seconds(low: float, high: float | None = None) -> Kind:
    """A duration."""
    return number(low, high, "seconds")


def choice(*words: str) -> Kind:
    """One of these words, exactly as written."""
    return Kind(" or ".join(words), lambda text: _one_of(words, text))


def or_none(kind: Kind) -> Kind:
    """The same kind, or the word that stands for no value."""
    return Kind(f"{kind.allowed}, or none", lambda text: None if text.lower() == "none" else kind.read(text))


def json_of(kind: type, name: str) -> Kind:
    """JSON whose outermost value is of ``kind``, which messages call ``name``."""

    def read(text: str) -> Any:
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"is not JSON at line {error.lineno}, column {error.colno}") from None
        except RecursionError:
            raise ValueError("is nested too deeply") from None
        if isinstance(value, kind):
            return value
        raise ValueError

    return Kind(f"{name}, as JSON", read)


def database_url(schemes: Sequence[str]) -> Kind:
    """A PeeWee URL that names a database which several threads can share."""
    return Kind(
        f"a URL with one of the schemes {', '.join(schemes)}, such as sqliteext:///db.sqlite3",
        lambda text: _database_url(schemes, text),
    )


def _digits(pattern: re.Pattern[str], kind: Callable[[str], Any], text: str) -> Any:
    if not pattern.fullmatch(text):
        raise ValueError
    return kind(text)


def _within(value: Any, low: float, high: float | None) -> Any:
    if value < low or (high is not None and value > high):
        raise ValueError
    return value


def _span(low: float, high: float | None) -> str:
    return f", {low} or more" if high is None else f" from {low} to {high}"


def _one_of(words: Sequence[str], text: str) -> str:
    if text not in words:
        raise ValueError
    return text


def _line(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("has an unprintable character or a line break" if text else "is empty")
    return text


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise ValueError
    return _TRUTH[text.lower()]


def _parts(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for part in map(str.strip, text.split(",")) if part))


def _hosts(text: str) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", part) for part in _parts(text.lower())):
        raise ValueError
    return _parts(text.lower())


def _header(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", text):
        raise ValueError
    return text


def _modules(text: str) -> tuple[str, ...]:
    for place, name in enumerate(_parts(text), start=1):
        if not all(part.isidentifier() and not iskeyword(part) for part in name.split(".")):
            raise ValueError(f"has a name, number {place}, that no module can have")
    return _parts(text)


def _database_url(schemes: Sequence[str], text: str) -> str:
    if _line(text).partition(":")[0] not in schemes:
        raise ValueError
    try:
        url = urlsplit(text)
        host_is_good = url.port != 0 and (text.startswith("sqlite") or _at_sign_ends_login(url))
    except ValueError:
        host_is_good = False
    if not host_is_good:
        raise ValueError("has no valid host and port (in a password write %23 for #, %2F for /, %3F for ?, %40 for @)")
    if text.startswith("sqlite") and url.path in ("", "/", "/:memory:"):
        raise ValueError("names no file, and a database in memory is seen by one thread only")
    return text


def _at_sign_ends_login(url: SplitResult) -> bool:
    """A password with an unescaped ``/``, ``?`` or ``#`` puts the ``@`` after it behind the host."""
    return "@" in url.netloc or "@" not in f"{url.path}{url.query}{url.fragment}"


TEXT = Kind("one line of text", _line)
YES_NO = Kind("true or false (or yes, no, on, off, 1, 0)", _truth)
WORDS = Kind("a list separated by commas", _parts)
HOSTS = Kind("host names without ports, separated by commas", _hosts)
HEADER = Kind("the name of an HTTP header", _header)
NETWORKS = Kind("IP addresses or CIDR blocks, separated by commas", lambda text: parse_networks(_parts(text)))
GRANTS = Kind("scopes such as read or dispatch:lab.*, separated by commas", lambda text: parse_grants(_parts(text)))
MODULES = Kind("the dotted names of Python modules, separated by commas", _modules)
