"""``GET /status``: what its query means, and the cursor that leads to the next page."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import cherrypy

from ...core import strict_json
from ...core.dispatch_options import MOST_LABELS
from ...core.errors import BadCursor, BadId, BadQuery
from ...core.job import Job, State, micros, now, parse_uuid
from ...core.job_filter import JobFilter, LabelFilter, PageCursor

PARAMETERS = ("task", "state", "label", "queue", "caller", "since", "until", "limit", "cursor")
"""What the query may hold; ``state`` and ``label`` may come several times."""
DEFAULT_LIMIT, MOST = 50, 500
MOST_MOMENT = 2**63
"""No database here counts further."""
_SPELLED = [spelled for state in State for spelled in (state.value, state.value.lower())]
_TIME: Mapping[str, Any] = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,6})?$", "description": "Seconds before now."},
    ]
}
_TEXT: Mapping[str, Any] = {"type": "string", "pattern": r"^[^\u0000]*$"}
DESCRIBED: Mapping[str, Mapping[str, Any]] = {
    "task": {**_TEXT, "description": "Jobs of this task."},
    "state": {
        "type": "array",
        "items": {"type": "string", "enum": _SPELLED},
        "minItems": 1,
        "description": "In one of these.",
    },
    "label": {
        "type": "array",
        "items": {"type": "string", "pattern": r"^[^:\u0000][^\u0000]*$"},
        "minItems": 1,
        "maxItems": MOST_LABELS,
        "description": "NAME or NAME:VALUE.",
    },
    "queue": {**_TEXT, "description": "Jobs that asked for this queue."},
    "caller": {**_TEXT, "description": "Jobs that this caller dispatched."},
    "since": _TIME,
    "until": _TIME,
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": MOST,
        "default": DEFAULT_LIMIT,
        "description": "Jobs of a page.",
    },
    "cursor": {"type": "string", "pattern": "^[A-Za-z0-9_-]+={0,2}$", "description": "It is part of a page's next."},
}
"""The parameters as OpenAPI tells of them; ``state`` may also be several with commas."""
_SECONDS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,6})?", re.ASCII)

Query = Mapping[str, str | list[str]]


def filters(query: Query) -> JobFilter:
    """What the query looks for; raises ``BadQuery`` naming the parameter that cannot be used."""
    _refuse_nul(query)
    return JobFilter(
        task=_once(query, "task"),
        states=[_state(name) for text in _all(query, "state") for name in text.split(",")],
        labels=_labels(_all(query, "label")),
        queue=_once(query, "queue"),
        caller=_once(query, "caller"),
        since=_moment(query, "since"),
        until=_moment(query, "until"),
    )


def limit(query: Query) -> int:
    """How many jobs a page holds; raises ``BadQuery``."""
    text = _once(query, "limit")
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch("[0-9]{1,6}", text, re.ASCII) or not 1 <= int(text) <= MOST:
        raise BadQuery(f"The query parameter limit is {text[:80]!r}; it must be a whole number from 1 to {MOST}.")
    return int(text)


def place(query: Query) -> PageCursor | None:
    """Where the page before ended; raises ``BadCursor`` for one that was not made for this search."""
    text = _once(query, "cursor")
    if text is None:
        return None
    try:
        mark, created, uuid = strict_json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
        found = _place(created, uuid)
    except (ValueError, TypeError, BadId):
        raise BadCursor("The query parameter cursor is none; take it from the member next of a page.") from None
    if mark != _mark(query):
        raise BadCursor(
            "The query parameter cursor belongs to another search; leave the other parameters as they were."
        )
    return found


def following(query: Query, jobs: Sequence[Job], more: bool) -> str | None:  # noqa: FBT001
    """The path of the next page, which the header ``Link`` names, too; ``None`` after the last."""
    if not more:
        return None
    last = jobs[-1]
    cursor = base64.urlsafe_b64encode(strict_json.dumps([_mark(query), last.created, last.uuid]).encode()).decode()
    rest = {name: value for name, value in query.items() if name != "cursor"}
    path = f"/status?{urlencode({**rest, 'cursor': cursor}, doseq=True)}"
    cherrypy.response.headers["Link"] = f'<{path}>; rel="next"'
    return path


def _mark(query: Query) -> str:
    """What tells one search from another, whatever the size of its pages."""
    asked = sorted((name, _all(query, name)) for name in query if name not in {"cursor", "limit"})
    return hashlib.sha256(strict_json.dumps(asked).encode()).hexdigest()[:12]


def _all(query: Query, name: str) -> list[str]:
    value = query.get(name, [])
    return value if isinstance(value, list) else [value]


def _once(query: Query, name: str) -> str | None:
    values = _all(query, name)
    if len(values) > 1:
        raise BadQuery(f"The query parameter {name} comes {len(values)} times; it may come once.")
    return values[0] if values else None


def _state(name: str) -> State:
    try:
        return State(name.strip().upper())
    except ValueError:
        raise BadQuery(f"The query parameter state is {name[:80]!r}; it must be one of {', '.join(State)}.") from None


def _place(created: Any, uuid: Any) -> PageCursor:
    """Whoever makes a cursor of his own must not get further than to another page."""
    if type(created) is not int or not 0 <= created < MOST_MOMENT:
        raise ValueError("no moment")
    return PageCursor(created, parse_uuid(uuid))


def _refuse_nul(query: Query) -> None:
    """PostgreSQL cannot even be asked for a text with a NUL, and no job has one."""
    for name in query:
        for text in _all(query, name):
            if "\0" in text:
                raise BadQuery(f"The query parameter {name} is {text[:80]!r}; it may not hold the character NUL.")


def _labels(texts: Sequence[str]) -> list[LabelFilter]:
    """As many as a job can have: each is one more table for the database to join."""
    if len(texts) > MOST_LABELS:
        raise BadQuery(
            f"The query parameter label comes {len(texts)} times; a job has at most {MOST_LABELS} labels to look for."
        )
    return [_label(text) for text in texts]


def _label(text: str) -> LabelFilter:
    name, colon, value = text.partition(":")
    if not name:
        raise BadQuery(f"The query parameter label is {text[:80]!r}; it must be NAME or NAME:VALUE.")
    return LabelFilter(name, value if colon else None)


def _moment(query: Query, name: str) -> int | None:
    """A time of day with an offset, or seconds before now."""
    text = _once(query, name)
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        return now() - int(float(text) * 1_000_000)
    try:
        # A plus sign in a query is a blank (WHATWG URL, application/x-www-form-urlencoded), and no ISO time has one.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        if moment.tzinfo is None:
            raise ValueError("no offset")
        return micros(moment)
    except (ValueError, OverflowError):
        raise BadQuery(
            f"The query parameter {name} is {text[:80]!r}; it must be a time such as "
            f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}, or a number of seconds before now."
        ) from None
