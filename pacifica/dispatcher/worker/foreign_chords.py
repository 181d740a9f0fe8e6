"""Chords that a program without the dispatcher has started: the result backend of that program counts their parts.

With Redis, and with other backends of keys and values, such a program stores the number of parts there, and sends
nothing else that knows it. So the part that ends last starts the body by way of that backend, as without the
dispatcher: once, since the id of the body is known. With its other backends, the program sends a message that waits
for the parts. Chords that start in a process with the dispatcher never need the other backend; ``COUNTED`` marks them.

Source: https://docs.celeryq.dev/en/stable/userguide/canvas.html#important-notes
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.app.backends import by_url
from celery.backends.base import Backend

logger = logging.getLogger(__name__)

COUNTED = "dispatcher_counted"
"""A member of the body of a chord whose parts the record counts."""


def counting_backend(app: Any, ours: Any) -> Any:
    """The result backend of the application's settings, if it counts the parts of chords; else ``None``."""
    wanted = app.conf.result_backend
    if not wanted:
        return None
    kind, url = by_url(wanted, app.loader)
    if kind.on_chord_part_return is Backend.on_chord_part_return:
        return None
    theirs = kind(app=app, url=url)
    theirs.chord_error_from_stack = ours.chord_error_from_stack  # The record has the failure of the body.
    return theirs


@contextmanager
def logged(request: Any) -> Iterator[None]:
    """Log a part that cannot be counted: its own job has ended, whatever becomes of the chord."""
    try:
        yield
    except Exception:
        reason = "the result backend of the application could not count a part of it, so its body may not start"
        logger.exception("Chord of group %s, job %s: %s.", request.group, request.id, reason)
