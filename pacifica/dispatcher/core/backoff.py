"""Backoff: growing pauses between attempts, and the retry of an action while the database is unavailable."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from .errors import DatabaseUnavailable

logger = logging.getLogger(__name__)
Value = TypeVar("Value")
_RANDOM = random.Random()  # noqa: S311 - no secret
"""Own numbers: those of the module are the program's, which may have seeded them."""


def backoff(first: float, longest: float, *, factor: float = 2.0, jitter: float = 0.5) -> Iterator[float]:
    """Yield pauses in seconds, endlessly; each is ``factor`` times as long as the previous one, up to ``longest``.

    ``jitter`` is the share of a pause, from 0 to 1, that is random. It keeps many processes from retrying in step.
    """
    pause = first
    while True:
        yield pause * _RANDOM.uniform(1 - jitter, 1) if jitter else pause
        pause = min(pause * factor, longest)


def retry_while_unavailable(action: Callable[[], Value], seconds: float) -> Value:
    """Return what ``action`` returns; while it raises ``DatabaseUnavailable``, repeat it for at most ``seconds``.

    ``action`` must be safe to repeat. Its last ``DatabaseUnavailable`` is raised when the time is over.
    """
    end = time.monotonic() + seconds
    pauses = backoff(0.05, 2.0)
    while True:
        try:
            return action()
        except DatabaseUnavailable as error:
            pause = next(pauses)
            if time.monotonic() + pause > end:
                raise
            logger.warning("%s Retrying in %.2g s.", error, pause)
        time.sleep(pause)
