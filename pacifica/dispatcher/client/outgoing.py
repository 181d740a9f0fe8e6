"""What a client sends, as JSON: times may be those of Python where the service takes times."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ..core import strict_json
from .errors import BadValue


def json_of(what: str, value: Mapping[str, Any]) -> str:
    """The JSON text of a job; raises ``BadValue``, which begins with what it is."""
    options = value.get("options")
    if isinstance(options, Mapping):
        value = {**value, "options": {name: plain(name, one) for name, one in options.items()}}
    try:
        return strict_json.dumps(value)
    except ValueError as error:
        raise BadValue(f"{what} cannot be sent: {error}.") from error


def plain(name: str, value: Any) -> Any:
    """A time as ISO 8601, a length of time as seconds, and anything else as it is."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if not isinstance(value, datetime):
        return value
    if value.utcoffset() is None:
        raise BadValue(
            f"{name} is {value.isoformat()}, a time without an offset; one such as datetime.now(UTC) has it."
        )
    return value.isoformat()
