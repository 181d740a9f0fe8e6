"""Which requests a server's loop may answer by itself: those that wait for nothing but the commit of a dispatch."""

import re

LARGEST = 10_000
"""Bytes of a body that the loop reads; a larger one may take long to check."""

_LIVE = rb"(?:GET|HEAD) /health/live HTTP/"
_READ = rb"(?:GET|HEAD) /(?:(?:status|result)/[0-9A-Fa-f-]{36}|tasks|) HTTP/"
_DISPATCH = rb"(?:GET|HEAD|POST) /dispatch/[^?/ ]++(?:/[^? ]*+)? HTTP/"
_LONGER = re.compile(rb"\n(?:prefer|idempotency-key)[ \t]*+:", re.IGNORECASE)
"""The first may wait for the job, the second has a transaction of its own."""


class Brief:
    """Judges by a head as it came, and the number of bytes of its body; what is not surely brief is not.

    ``files``: the database is a file, which is read without a wait. A server of databases is asked by threads.
    """

    def __init__(self, *, files: bool) -> None:
        self._line = re.compile(b"|".join((_LIVE, _READ, _DISPATCH)) if files else _LIVE)

    def __call__(self, head: bytes, body: int) -> bool:
        """Whether it is brief."""
        return body <= LARGEST and self._line.match(head) is not None and _LONGER.search(head) is None
