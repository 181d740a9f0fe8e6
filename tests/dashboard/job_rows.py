"""Jobs for the tests of the list, and the ids of the rows of a page."""

import re
from typing import Any

from pacifica.dispatcher.core.job import Job, JobError, State

from ..store.conftest import a_job
from .pages_client import Answer, PagesClient

ROW = re.compile(r'<tr data-row id="job-([0-9a-f-]{36})"')
OLDER = re.compile(r'rel="next" href="([^"]+)"')
CONTINUE = re.compile(r'<a href="([^"]+)">Continue with older ones</a>')


def failed(message: str = "disk full", kind: str = "OSError", **columns: Any) -> Job:
    """A failed job."""
    return a_job(state=State.FAILURE, error=JobError(kind, message), due=None, **columns)


def ended(**columns: Any) -> Job:
    """A job with a result."""
    return a_job(**{"state": State.SUCCESS, "result": 4, "due": None, "started": 1, "finished": 2, **columns})


def stored(client: PagesClient, *jobs: Job) -> list[str]:
    """Store the jobs; returns their UUIDs."""
    client.jobs.add(jobs)
    return [job.uuid for job in jobs]


def rows(answer: Answer) -> list[str]:
    """The UUIDs of the rows, in the order of the page."""
    return ROW.findall(answer.text)


def link(pattern: re.Pattern[str], answer: Answer) -> str | None:
    """The address of a link of the page."""
    found = pattern.search(answer.text)
    return found[1].replace("&amp;", "&") if found else None
