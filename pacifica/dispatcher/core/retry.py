"""Doing something that the database cannot do now, until it can."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from .errors import DatabaseUnavailable

logger = logging.getLogger(__name__)
Value = TypeVar("Value")

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


def patiently(action: Callable[[], Value], seconds: float) -> Value:
    """What ``action`` returns, tried again with growing pauses while the database is away.

    ``action`` must do no harm when it is done twice. Raises ``DatabaseUnavailable`` after ``seconds``.
    """
    end = time.monotonic() + seconds
    pause = FIRST_PAUSE
    while True:
        try:
            return action()
        except DatabaseUnavailable as error:
            if time.monotonic() + pause > end:
                raise
            logger.warning("%s The next try comes in %.2g s.", error, pause)
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - it only keeps many workers apart
        pause = min(pause * 2, LONGEST_PAUSE)
