"""The election: of all processes on one database, one does what one is enough for.

Whoever does it moves a beat on. The others look, each by its own monotonic clock, and one of them takes over
when the beat stands still. For a moment there may be two, so that whatever they do must bear that.
"""

import logging
import time
from collections.abc import Callable

from ..core.errors import DatabaseUnavailable
from ..core.job import new_uuid
from ..store.leader import ElectionStore, Standing

logger = logging.getLogger(__name__)


class Election:
    """One candidate. A holder's beat moves every third of ``lease`` seconds, and has two thirds to do so.

    So one that is killed is succeeded before a worker that is killed with it counts as dead.
    """

    def __init__(self, store: ElectionStore, *, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._me = new_uuid()
        self._pause = lease / 4  # It is asked every sixth: the second time is late enough, the third too late.
        self._patience = lease * 2 / 3
        self._began = clock()
        self._seen: Standing | None = None
        self._since = self._began
        self._won: float | None = None

    def won(self) -> bool:
        """Whether this process is to do it now, asked every sixth of the lease; raises ``DatabaseUnavailable``."""
        moment = self._clock()
        if self._won is not None and moment < self._won + self._pause:
            return True
        try:
            won = self._store.renew(self._me) if self._won is not None else self._stands(moment)
        except DatabaseUnavailable:
            self._since = moment  # Nobody's beat can move meanwhile.
            raise
        if won and self._won is None:
            logger.debug("This process looks after the jobs of all from now on.")
        self._won = moment if won else None
        return won

    def resign(self) -> None:
        """Leave it to another one at once; without the database, that one finds the beat standing still."""
        if self._won is None:
            return
        self._won = None
        try:
            self._store.resign(self._me)
        except DatabaseUnavailable as error:
            logger.debug("the duty is left behind: %s", error)

    def _stands(self, moment: float) -> bool:
        """Take it when its holder is gone; who has watched for longest goes first, as it knows most."""
        standing = self._store.standing()
        if standing != self._seen:
            self._seen, self._since = standing, moment
        watched = self._began if standing is None else self._since
        return moment - watched >= self._patience and self._store.take(self._me, standing)
