"""Which requests a server's loop may answer by itself: those that wait for nothing but the commit of a dispatch."""

import re
from collections.abc import Mapping
from typing import Any

LARGEST = 10_000
"""Bytes of a body that the loop reads; a larger one may take long to check."""

_LIVE = rb"(?:GET|HEAD) /health/live HTTP/"
_READ = rb"(?:GET|HEAD) /(?:(?:status|result)/[0-9A-Fa-f-]{36}|tasks|) HTTP/"
_DISPATCH = rb"(?:GET|HEAD|POST) /dispatch/[^?/ ]++(?:/[^? ]*+)? HTTP/"
_LONGER = re.compile(rb"\n(?:prefer|idempotency-key)[ \t]*+:", re.IGNORECASE)
"""The first may wait for the job, the second has a transaction of its own."""


_NONE = rb"(?!)"


def _is_added_to(config: Mapping[str, Any]) -> bool:
    own = {"hooks.on_start_resource.guard"}
    on = [name for name, value in config.items() if name.endswith(".on") and value and name.startswith("tools.")]
    hooks = [name for name in config if name.startswith("hooks.") and name not in own]
    return bool(hooks) or any(not name.startswith("tools.dispatcher_") for name in on)


class Brief:
    """Judges by a head as it came, and the number of bytes of its body; what is not surely brief is not.

    ``files``: the database is a file, which is read without a wait; a server of databases is asked by threads.
    ``common`` is CherryPy's configuration and ``own`` the application's, by path: a tool or a hook that a user has
    added may be long, or keep something for its thread, so that nothing is brief.
    """

    def __init__(self, *, files: bool, common: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]) -> None:
        line = b"|".join((_LIVE, _READ, _DISPATCH)) if files else _LIVE
        root = {**common, **own.get("/", {})}
        self._line = re.compile(_NONE if any(map(_is_added_to, [root, *own.values()])) else line)

    def __call__(self, head: bytes, body: int) -> bool:
        """Whether it is brief."""
        return body <= LARGEST and self._line.match(head) is not None and _LONGER.search(head) is None
