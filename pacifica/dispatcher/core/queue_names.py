"""The queues that a request may name: brokers keep each queue that was ever named, so clients must not invent them."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from .errors import BadOptions
from .faults import Fault

WILDCARDS = {"*": "[A-Za-z0-9._:-]*", "?": "[A-Za-z0-9._:-]"}
"""The regular expressions of the wildcards in a pattern; both match only characters that a queue's name may have."""


class QueueNames:
    """The names of declared queues, and patterns with the wildcards ``*`` and ``?``."""

    def __init__(self, declared: Iterable[str], patterns: Iterable[str] = ()) -> None:
        self._declared = tuple(sorted(declared))
        self._patterns = tuple(patterns)

    def check(self, name: str | None) -> None:
        """Raise ``BadOptions`` unless a request may name this queue."""
        if name is None or name in self._declared or any(fnmatchcase(name, one) for one in self._patterns):
            return
        known = ", ".join([*self._declared, *self._patterns])
        hint = f"is not a queue of this service, which has {known}; [dispatcher] queues can allow others"
        raise BadOptions([Fault("queue", hint)])

    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of a name."""
        patterns = [{"type": "string", "maxLength": 191, "pattern": f"^{_expression(one)}$"} for one in self._patterns]
        return {"anyOf": [{"type": "string", "enum": list(self._declared)}, *patterns]}


def _expression(pattern: str) -> str:
    return "".join(WILDCARDS.get(sign) or re.escape(sign) for sign in pattern)
