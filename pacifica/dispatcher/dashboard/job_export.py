"""All jobs that match the filters of the list, as a file: CSV for spreadsheets, NDJSON for programs."""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import cherrypy

from ..core import strict_json
from ..core.errors import BadQuery
from ..core.job import Job
from ..core.job_filter import MOST_FAILURES, JobFilter
from ..core.permissions import READ, Visibility
from ..core.strict_json import JsonText
from ..service.verbs import Service
from ..web import representations
from ..web.operation import Operation
from ..web.request import search_query
from ..web.request.ndjson import NDJSON
from ..web.request.request_context import visible_jobs
from . import list_address

LARGEST_EXPORT = 100_000
"""The most jobs of a file, and the most that are looked at for it."""
COLUMNS = (
    *("uuid", "task", "state", "created", "started", "finished", "queue", "caller", "worker", "attempt", "replay_of"),
    *("labels", "args", "kwargs", "result", "error"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet may run a cell that begins so (https://owasp.org/www-community/attacks/CSV_Injection)."""


class JobExport:
    """``/ui/jobs/export``"""

    exposed = True

    def __init__(self, service: Service) -> None:
        self._service = service

    @Operation(
        "/ui/jobs/export",
        READ,
        {200: ""},
        query={**list_address.PARAMETERS, "format": {"type": "string", "enum": ["csv", "ndjson"]}},
        page=True,
    )
    def GET(self, **query: str | list[str]) -> Iterator[bytes]:
        """Send the newest jobs that match, at most ``LARGEST_EXPORT``, newest first."""
        address = list_address.given(query)
        search = list_address.search_of(list_address.filters_only(address))
        chosen = address.get("format", ["csv"])[-1]
        if chosen not in {"csv", "ndjson"}:
            raise BadQuery(f"The query parameter format is {chosen[:80]!r}. It must be csv or ndjson.")
        pages = _pages(self._service, search_query.filters(search), visible_jobs())
        first = next(pages)
        response = cherrypy.response
        response.stream = True
        response.headers["Content-Type"] = f"{'text/csv' if chosen == 'csv' else NDJSON};charset=utf-8"
        name = f"jobs-{datetime.now(UTC):%Y%m%d-%H%M%S}.{chosen}"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return (_csv if chosen == "csv" else _ndjson)(first, pages)


def _pages(service: Service, filters: JobFilter, visible: Visibility) -> Iterator[Sequence[Job]]:
    """The pages of the search, until enough jobs are shown or looked at."""
    left, after = LARGEST_EXPORT, None
    while True:
        jobs, after = service.search(filters, after, min(search_query.MAX_LIMIT, left), visible)
        yield jobs
        left -= len(jobs) if filters.error is None else max(len(jobs), MOST_FAILURES)
        if after is None or left <= 0:
            return


def _ndjson(first: Sequence[Job], pages: Iterator[Sequence[Job]]) -> Iterator[bytes]:
    for jobs in _all(first, pages):
        yield b"".join(strict_json.pretty(representations.job(job)) for job in jobs)


def _csv(first: Sequence[Job], pages: Iterator[Sequence[Job]]) -> Iterator[bytes]:
    yield codecs.BOM_UTF8 + _lines([COLUMNS])  # Without the mark, Excel does not read UTF-8.
    for jobs in _all(first, pages):
        yield _lines([_cells(representations.job(job)) for job in jobs])


def _all(first: Sequence[Job], pages: Iterator[Sequence[Job]]) -> Iterator[Sequence[Job]]:
    yield first
    yield from pages


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cells(job: Mapping[str, Any]) -> list[str]:
    error = job["error"]
    shown = {
        **job,
        "error": error and f"{error['type']}: {error['message']}",
        "labels": ", ".join(f"{name}={text}" for name, text in job["labels"].items()),
    }
    return [harmless(_text(shown[column])) for column in COLUMNS]


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return value.text if isinstance(value, JsonText) else strict_json.pretty(value).decode().rstrip("\n")


def harmless(cell: str) -> str:
    """The cell with an apostrophe before a character with which a formula begins."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell
