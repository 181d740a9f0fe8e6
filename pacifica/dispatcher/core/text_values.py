"""The JSON values that a text in a URL, on a command line or in a CSV file may represent."""

import re
from typing import Any

from . import strict_json

WHOLE = re.compile(r"-?(0|[1-9][0-9]*)\Z", re.ASCII)
DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z", re.ASCII)


def possible_values(text: str) -> list[Any]:
    """The values that the text may represent, the likeliest first: a number, the text itself, another JSON value.

    An integer of too many digits stays text: Python takes quadratic time to convert it.
    """
    found: list[Any] = []
    if WHOLE.match(text):
        if len(text) <= strict_json.MAX_DIGITS:
            found.append(int(text))
    elif DECIMAL.match(text) and abs(float(text)) != float("inf"):
        found.append(strict_json.as_written(text))
    found.append(text)
    if text in ("true", "false", "null") or text[:1] in ("[", "{"):
        try:
            found.append(strict_json.loads(text, exact=True))
        except ValueError:
            return found
    return found
