"""Selects the requests that a server's event loop may answer: those that wait only for the commit of a dispatch."""

import re
from collections.abc import Mapping
from typing import Any

MAX_BODY = 10_000
"""The largest body, in bytes, that the loop handles; a larger one may take long to validate."""

_LIVE = rb"(?:GET|HEAD) %b/health/live HTTP/"
_READ = rb"(?:GET|HEAD) %b/(?:(?:status|result)/[0-9A-Fa-f-]{36}|tasks|) HTTP/"
_DISPATCH = rb"(?:GET|HEAD|POST) %b/dispatch/[^?/ ]++(?:/[^? ]*+)? HTTP/"
_LONGER = re.compile(rb"\n(?:prefer|idempotency-key)[ \t]*+:", re.IGNORECASE)
"""``Prefer`` may wait for the job, and ``Idempotency-Key`` needs a separate transaction."""
_NONE = rb"(?!)"


def _has_user_hooks(config: Mapping[str, Any]) -> bool:
    own = {"hooks.on_start_resource.guard"}
    on = [name for name, value in config.items() if name.endswith(".on") and value and name.startswith("tools.")]
    hooks = [name for name in config if name.startswith("hooks.") and name not in own]
    return bool(hooks) or any(not name.startswith("tools.dispatcher_") for name in on)


class Brief:
    """Classifies a request by its raw head and the length of its body; in doubt, a request is not brief.

    ``files`` states that the database is a file, which is read without waiting; threads query a database server.
    ``common`` is CherryPy's configuration and ``own`` the application's, by path. With a tool or hook that a user has
    added, no request is brief, as it may take long or use thread-local state. ``root_path`` may precede each path.
    """

    def __init__(
        self, *, files: bool, common: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]], root_path: str = ""
    ) -> None:
        prefix = b"(?:%b)?" % re.escape(root_path.encode()) if root_path else b""
        line = b"|".join(each % prefix for each in ((_LIVE, _READ, _DISPATCH) if files else (_LIVE,)))
        root = {**common, **own.get("/", {})}
        self._line = re.compile(_NONE if any(map(_has_user_hooks, [root, *own.values()])) else line)

    def __call__(self, head: bytes, body: int) -> bool:
        return body <= MAX_BODY and self._line.match(head) is not None and _LONGER.search(head) is None
