"""The types of the settings: each accepts a text of ``config.ini``, and has a phrase that says what it allows.

Numbers are checked before pydantic converts them, because it would also accept ``1_000``.
"""

from collections.abc import Callable, Mapping
from keyword import iskeyword
from re import fullmatch
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, Json, WithJsonSchema

from ..core.permissions import Grant, Network, parse_grant

SCHEMES = tuple(f"{name}{pool}" for name in ("sqlite", "sqliteext", "postgresql", "mysql") for pool in ("", "+pool"))
"""The schemes of a database URL; a test compares them with the classes in ``store.connections.connect``."""


ROOT_PATH = r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+"
"""A path prefix, such as ``/jobs`` or ``/lab/jobs``: characters that no program encodes in another way."""


def described(schema: Mapping[str, Any]) -> str:
    """The values that a setting may have, as a noun phrase made from the JSON Schema of its field."""
    match schema:
        case {"allowed": str(phrase)}:
            return phrase
        case {"anyOf": [inner, {"type": "null"}]}:
            return f"{described(inner)}, or none"
        case {"enum": [*words, last]}:
            return f"{', '.join(words)} or {last}"
        case {"type": "boolean"}:
            return "true or false (or yes, no, on, off, 1, 0)"
        case {"type": kind, "minimum": low}:
            noun = "a whole number" if kind == "integer" else f"a number{schema.get('unit', '')}"
            return f"{noun} from {low} to {schema['maximum']}" if "maximum" in schema else f"{noun}, {low} or more"
    raise AssertionError(f"no phrase for {schema}")


def allowed(phrase: str) -> WithJsonSchema:
    """Describe a type by this phrase."""
    return WithJsonSchema({"allowed": phrase})


def of_text(convert: Callable[[str], Any]) -> BeforeValidator:
    """Convert a text, and leave any other value to pydantic; a ``ValueError`` gives the reason and quotes nothing."""
    return BeforeValidator(lambda value: convert(value) if isinstance(value, str) else value)


def matching(pattern: str) -> BeforeValidator:
    """Refuse a text that the pattern does not match as a whole."""

    def check(text: str) -> str:
        if not fullmatch(pattern, text):
            raise ValueError
        return text

    return of_text(check)


def _split(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for part in map(str.strip, text.split(",")) if part))


def _line(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("has an unprintable character or a line break" if text else "is empty")
    return text


def _module(name: str) -> str:
    if not all(part.isidentifier() and not iskeyword(part) for part in name.split(".")):
        raise ValueError
    return name


def _application(name: str) -> str:
    module, *attribute = name.split(":")
    if len(attribute) > 1 or not all(part.isidentifier() for part in attribute):
        raise ValueError
    _module(module)
    return name


def _database_url(text: str) -> str:
    if _line(text).partition(":")[0] not in SCHEMES:
        raise ValueError
    try:
        url = urlsplit(text)
        host_is_valid = url.port != 0 and (text.startswith("sqlite") or _at_sign_ends_login(url))
    except ValueError:
        host_is_valid = False
    if not host_is_valid:
        raise ValueError("has no valid host and port (in a password write %23 for #, %2F for /, %3F for ?, %40 for @)")
    if text.startswith("sqlite") and url.path in ("", "/", "/:memory:"):
        raise ValueError("names no file; a database in memory is visible to one thread only")
    return text


def _at_sign_ends_login(url: SplitResult) -> bool:
    """An unescaped ``/``, ``?`` or ``#`` in a password would end the host before the ``@``."""
    return "@" in url.netloc or "@" not in f"{url.path}{url.query}{url.fragment}"


NONE_WORD = of_text(lambda text: None if text.lower() == "none" else text)
DIGITS = matching(r"[+-]?[0-9]{1,18}")
DECIMAL = matching(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")
SPLIT = of_text(_split)
_OF_SECONDS = Field(json_schema_extra={"unit": " of seconds"})

WholeNumber = Annotated[int, DIGITS]
Seconds = Annotated[float, DECIMAL, _OF_SECONDS]
Age = Annotated[Annotated[float, Field(ge=1, le=3_155_760_000), DECIMAL, _OF_SECONDS] | None, NONE_WORD]
YesNo = Annotated[bool, matching("(?i)true|false|yes|no|on|off|1|0")]
Line = Annotated[str, of_text(_line), allowed("one line of text")]
Words = Annotated[tuple[str, ...], SPLIT, allowed("a list separated by commas")]
JsonObject = Annotated[Json[dict[str, Any]], allowed("an object, as JSON")]
Header = Annotated[str, matching("[A-Za-z0-9-]{1,64}"), allowed("the name of an HTTP header")]
QueuePatterns = Annotated[
    tuple[Annotated[str, matching(r"[A-Za-z0-9._:*?-]{1,191}")], ...],
    SPLIT,
    allowed("names of queues, in which * and ? are wildcards, separated by commas"),
]
RootPath = Annotated[
    str,
    matching(rf"(?:{ROOT_PATH})?"),
    of_text(lambda text: text.rstrip("/")),
    allowed("empty, or a path such as /jobs, of letters, digits and . _ ~ -"),
]
Hosts = Annotated[
    tuple[Annotated[str, matching(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")], ...],
    of_text(lambda text: _split(text.lower())),
    allowed("host names without ports, separated by commas"),
]
Modules = Annotated[
    tuple[Annotated[str, AfterValidator(_module)], ...],
    SPLIT,
    allowed("the dotted names of Python modules, separated by commas"),
]
Applications = Annotated[
    tuple[Annotated[str, AfterValidator(_application)], ...],
    SPLIT,
    allowed("names such as shop.celery:app, of a module and the Celery application in it, separated by commas"),
]
TaskPatterns = Annotated[
    tuple[Annotated[str, matching(r"[A-Za-z0-9._:*?-]{1,191}")], ...],
    SPLIT,
    allowed("names of tasks, in which * and ? are wildcards, separated by commas"),
]
Networks = Annotated[tuple[Network, ...], SPLIT, allowed("IP addresses or CIDR blocks, separated by commas")]
Grants = Annotated[
    tuple[Annotated[Grant, of_text(parse_grant)], ...],
    SPLIT,
    allowed("scopes such as read or dispatch:lab.*, separated by commas"),
]
DatabaseUrl = Annotated[
    str,
    of_text(_database_url),
    allowed(f"a URL with one of the schemes {', '.join(SCHEMES)}, such as sqliteext:///db.sqlite3"),
]
