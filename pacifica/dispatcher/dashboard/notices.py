"""The outcome of an action, which the address of the next page has, with the time.

The page shows it for a minute, so that neither a later reload nor a link that is passed on repeats it.
"""

import re
import time

from ..web.operation import Query

SHOWN_SECONDS = 60
_STAMPED = re.compile(r"(.{1,200})\.([0-9]{10,11})", re.ASCII)


def stamped(text: str) -> str:
    """The text with the time, as the value of ``done``."""
    return f"{text}.{int(time.time())}"


def fresh(value: Query) -> str:
    """The text of a value that ``stamped`` has made within the last minute; else an empty one."""
    found = _STAMPED.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found and abs(time.time() - int(found[2])) < SHOWN_SECONDS else ""
