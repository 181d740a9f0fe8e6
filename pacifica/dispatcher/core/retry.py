"""Trying again: the pauses between two tries, and how long to go on."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from .errors import DatabaseUnavailable

logger = logging.getLogger(__name__)
Value = TypeVar("Value")


def backoff(first: float, longest: float, *, factor: float = 2.0, jitter: float = 0.5) -> Iterator[float]:
    """Yield pauses in seconds without end; each is ``factor`` times as long as the last one, up to ``longest``.

    ``jitter`` is the random share of a pause, from 0 to 1: it keeps many processes from trying at the same moment.
    """
    pause = first
    while True:
        yield pause * random.uniform(1 - jitter, 1) if jitter else pause  # noqa: S311 - no secret
        pause = min(pause * factor, longest)


def retry_while_unavailable(action: Callable[[], Value], seconds: float) -> Value:
    """Return what ``action`` returns; while it raises ``DatabaseUnavailable``, call it again for ``seconds``.

    ``action`` must be safe to repeat. Raises its last ``DatabaseUnavailable`` when the time is over.
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
