"""The address of the list of jobs: what its form sends, as filters of a search, and addresses of other views."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from ..core.job_filter import PageCursor
from ..web.request import search_query

Given = Mapping[str, Sequence[str]]
"""The parameters of an address that have a value."""
SPANS = {"3600": "last hour", "86400": "last 24 hours", "604800": "last 7 days", "2592000": "last 30 days"}
"""The choices of the form for the time, in seconds before now."""
FILTERS = ("state", "task", "error", "last", "queue", "label", "caller", "since", "until")
PARAMETERS = {**search_query.PARAMETERS, "last": {"type": "string", "enum": [*SPANS]}, "done": {"type": "string"}}
"""``last`` is a span of time; ``done`` counts the outcomes of an action that has just ended."""
_LOCAL = re.compile(r"\d{4,}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?", re.ASCII)
"""A time as ``datetime-local`` writes it. Without a script, it means UTC."""


def given(query: Mapping[str, str | list[str]]) -> Given:
    """The parameters without those that the form left empty; several states become several values."""
    found: dict[str, Sequence[str]] = {}
    for name, value in query.items():
        texts = [text for text in (value if isinstance(value, list) else [value]) if text.strip()]
        if name == "state":
            texts = [state.strip().upper() for text in texts for state in text.split(",") if state.strip()]
        if texts:
            found[name] = texts
    return found


def has_empty(query: Mapping[str, str | list[str]]) -> bool:
    """Whether a parameter has no value."""
    texts = [text for value in query.values() for text in (value if isinstance(value, list) else [value])]
    return not all(text.strip() for text in texts)


def search_of(address: Given) -> search_query.SearchQuery:
    """The query of ``GET /status`` that finds the same jobs."""
    search = {name: list(texts) for name, texts in address.items() if name not in {"last", "done", "format"}}
    for name in ("since", "until"):
        if name in search:
            search[name] = [f"{text}Z" if _LOCAL.fullmatch(text) else text for text in search[name]]
    if "last" in address and "since" not in search:
        search["since"] = list(address["last"])
    return search


def filters_only(address: Given) -> Given:
    """The parameters that select jobs, without those of the page."""
    return {name: address[name] for name in FILTERS if name in address}


def next_page(address: Given, following: PageCursor | None) -> str | None:
    """The query of the next page."""
    if following is None:
        return None
    return encoded(without(address, "done"), cursor=search_query.cursor(search_of(address), following))


def without(address: Given, *names: str) -> Given:
    """The address without some parameters."""
    return {name: texts for name, texts in address.items() if name not in names}


def encoded(address: Given, **more: str) -> str:
    """The query of an address; empty without parameters."""
    text = urlencode({**address, **more}, doseq=True)
    return f"?{text}" if text else ""
