"""Converts jobs and filters to the JSON that the service takes; a time may be a ``datetime`` or a ``timedelta``."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ..core import strict_json
from .errors import BadValue


def to_json(subject: str, job: Mapping[str, Any]) -> str:
    """The JSON text of a job; raises ``BadValue`` with a message that begins with ``subject``."""
    options = job.get("options")
    if isinstance(options, Mapping):
        job = {**job, "options": {name: plain(name, value) for name, value in options.items()}}
    try:
        strict_json.check_keys(job)
        return strict_json.dumps_exact(job)
    except (ValueError, RecursionError) as error:
        raise BadValue(f"{subject} cannot be sent: {error}.") from error


def plain(name: str, value: Any) -> Any:
    """A ``datetime`` as ISO 8601, a ``timedelta`` as seconds, any other value unchanged; raises ``BadValue``."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if not isinstance(value, datetime):
        return value
    if value.utcoffset() is None:
        raise BadValue(f"{name} is {value.isoformat()}, a time without an offset; use one such as datetime.now(UTC).")
    return value.isoformat()
