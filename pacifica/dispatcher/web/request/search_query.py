"""The query of ``GET /status``: filters, page size, and the cursor of the next page."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import cherrypy

from ...core import strict_json
from ...core.dispatch_options import MAX_LABELS
from ...core.errors import BadCursor, BadId, BadQuery
from ...core.job import State, micros, now, parse_uuid
from ...core.job_filter import MOST_FAILURES, JobFilter, LabelFilter, PageCursor
from ..middleware import path_prefix
from .query import whole_number

DEFAULT_LIMIT, MAX_LIMIT = 50, 500
"""Jobs per page."""
MAX_ERROR = 500
"""The longest text to look for in errors, in characters."""
MAX_MICROS = 2**63
"""The bound of a time: no supported database stores larger integers."""
_STATE_NAMES = [name for state in State for name in (state.value, state.value.lower())]
_TIME: Mapping[str, Any] = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,6})?$", "description": "Seconds before now."},
    ]
}
_TEXT: Mapping[str, Any] = {"type": "string", "pattern": r"^[^\u0000]*$"}
PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "task": {**_TEXT, "description": "Only jobs of this task."},
    "state": {
        "type": "array",
        "items": {"type": "string", "enum": _STATE_NAMES},
        "minItems": 1,
        "description": "Only jobs in one of these states.",
    },
    "label": {
        "type": "array",
        "items": {"type": "string", "pattern": r"^[^:\u0000][^\u0000]*$"},
        "minItems": 1,
        "maxItems": MAX_LABELS,
        "description": "Only jobs with this label: NAME or NAME:VALUE.",
    },
    "queue": {**_TEXT, "description": "Only jobs dispatched to this queue."},
    "caller": {**_TEXT, "description": "Only jobs dispatched by this caller."},
    "error": {
        **_TEXT,
        "minLength": 1,
        "maxLength": MAX_ERROR,
        "description": "Only failed jobs whose error has this text in its type or message, in upper or lower case. "
        f"A page looks at {MOST_FAILURES} failed jobs, so it may be empty and have a next page.",
    },
    "since": _TIME,
    "until": _TIME,
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_LIMIT,
        "default": DEFAULT_LIMIT,
        "description": "Jobs per page.",
    },
    "cursor": {
        "type": "string",
        "pattern": "^[A-Za-z0-9_-]+={0,2}$",
        "description": "The position of a page; part of the member next of the previous page.",
    },
}
"""The parameters and their schemas for OpenAPI; ``state`` also accepts a comma-separated list."""
_SECONDS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,6})?", re.ASCII)

SearchQuery = Mapping[str, str | list[str]]


def filters(query: SearchQuery) -> JobFilter:
    """The filters of the query; raises ``BadQuery`` naming the parameter that is not valid."""
    _refuse_nul(query)
    states = [_state(name) for text in _all(query, "state") for name in text.split(",")]
    return JobFilter(
        task=_single(query, "task"),
        states=states,
        labels=_labels(_all(query, "label")),
        queue=_single(query, "queue"),
        caller=_single(query, "caller"),
        error=_error(query),
        since=_moment(query, "since"),
        until=_moment(query, "until"),
    )


def limit(query: SearchQuery) -> int:
    """The number of jobs per page; raises ``BadQuery``."""
    return whole_number(_single(query, "limit"), "limit", DEFAULT_LIMIT, MAX_LIMIT)


def position(query: SearchQuery) -> PageCursor | None:
    """The end of the previous page; raises ``BadCursor`` if the cursor was not made for this search."""
    text = _single(query, "cursor")
    if text is None:
        return None
    try:
        fingerprint, created, uuid = strict_json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
        found = _position(created, uuid)
    except (ValueError, TypeError, BadId):
        raise BadCursor("The cursor is not valid. Use the member next of the previous page.") from None
    if fingerprint != _fingerprint(query):
        raise BadCursor("The cursor belongs to another search. Do not change the other parameters between pages.")
    return found


def next_page(query: SearchQuery, following: PageCursor | None) -> str | None:
    """The path of the next page, which is also set as ``Link``; ``None`` after the last page."""
    if following is None:
        return None
    others = {name: value for name, value in query.items() if name != "cursor"}
    encoded = urlencode({**others, "cursor": cursor(query, following)}, doseq=True)
    path = f"{path_prefix.of_request()}/status?{encoded}"
    cherrypy.response.headers["Link"] = f'<{path}>; rel="next"'
    return path


def cursor(query: SearchQuery, following: PageCursor) -> str:
    """The text that ``position`` reads, for the same search only."""
    text = strict_json.dumps([_fingerprint(query), following.created, following.uuid])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _fingerprint(query: SearchQuery) -> str:
    """Identifies a search, independent of its page size."""
    parameters = sorted((name, _all(query, name)) for name in query if name not in {"cursor", "limit"})
    return hashlib.sha256(strict_json.dumps(parameters).encode()).hexdigest()[:12]


def _all(query: SearchQuery, name: str) -> list[str]:
    value = query.get(name, [])
    return value if isinstance(value, list) else [value]


def _single(query: SearchQuery, name: str) -> str | None:
    values = _all(query, name)
    if len(values) > 1:
        raise BadQuery(f"The query parameter {name} is given {len(values)} times. It may be given only once.")
    return values[0] if values else None


def _state(name: str) -> State:
    try:
        return State(name.strip().upper())
    except ValueError:
        raise BadQuery(f"The query parameter state is {name[:80]!r}. It must be one of {', '.join(State)}.") from None


def _error(query: SearchQuery) -> str | None:
    text = _single(query, "error")
    if text is None:
        return None
    if not 0 < len(text) <= MAX_ERROR:
        raise BadQuery(f"The query parameter error has {len(text)} characters. It must have 1 to {MAX_ERROR}.")
    return text


def _position(created: Any, uuid: Any) -> PageCursor:
    """The position in a cursor, which a client may have made up; raises ``ValueError`` or ``BadId``."""
    if type(created) is not int or not 0 <= created < MAX_MICROS:
        raise ValueError("not a time")
    return PageCursor(created, parse_uuid(uuid))


def _refuse_nul(query: SearchQuery) -> None:
    """Refuse NUL, which PostgreSQL does not accept and no job contains."""
    for name in query:
        for text in _all(query, name):
            if "\0" in text:
                raise BadQuery(f"The query parameter {name} is {text[:80]!r}. The character NUL is not allowed.")


def _labels(texts: Sequence[str]) -> list[LabelFilter]:
    """At most as many labels as a job can have: the database joins one more table for each."""
    if len(texts) > MAX_LABELS:
        raise BadQuery(f"The query parameter label is given {len(texts)} times. A job has at most {MAX_LABELS} labels.")
    return [_label(text) for text in texts]


def _label(text: str) -> LabelFilter:
    name, colon, value = text.partition(":")
    if not name:
        raise BadQuery(f"The query parameter label is {text[:80]!r}. It must be NAME or NAME:VALUE.")
    return LabelFilter(name, value if colon else None)


def _moment(query: SearchQuery, name: str) -> int | None:
    """An ISO 8601 time with an offset, or seconds before now, in microseconds."""
    text = _single(query, name)
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        return now() - int(float(text) * 1_000_000)
    try:
        # A plus sign in a query decodes to a space (WHATWG URL), which no ISO time contains.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        if moment.tzinfo is None:
            raise ValueError("no offset")
        return micros(moment)
    except (ValueError, OverflowError):
        raise BadQuery(
            f"The query parameter {name} is {text[:80]!r}. It must be a time such as "
            f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}, or seconds before now."
        ) from None
