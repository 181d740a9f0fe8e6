"""Leader election through the database: the elected process does the duties that must be done by one process.

The leader advances a counter, its heartbeat. The other processes observe it, and one of them takes over when it has
stopped. For a moment there may be two leaders, so it must do no harm to do a duty twice.
"""

import logging
import time
from collections.abc import Callable

from ..core.errors import DatabaseUnavailable
from ..core.job import new_uuid
from ..core.liveness import Liveness
from ..store.leader import ElectionStore

logger = logging.getLogger(__name__)

LEADER = "leader"


class Election:
    """One candidate, which asks every sixth of ``lease`` seconds whether it is the leader.

    The leader moves its heartbeat every third of the lease, and is replaced when two thirds have passed without a
    move. A killed leader is therefore replaced before a worker killed at the same moment is declared dead.
    """

    def __init__(self, store: ElectionStore, *, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._candidate = new_uuid()
        self._renew_after = lease / 4  # At every second call, as calls come every sixth of the lease.
        self._patience = lease * 2 / 3
        self._liveness = Liveness(self._patience, clock)
        self._began = clock()
        self._renewed: float | None = None
        """When this process last moved the heartbeat; ``None`` while it is not the leader."""

    def won(self) -> bool:
        """Whether this process is the leader; raises ``DatabaseUnavailable``."""
        moment = self._clock()
        if self._renewed is not None and moment < self._renewed + self._renew_after:
            return True
        try:
            won = self._store.renew(self._candidate) if self._renewed is not None else self._take_over(moment)
        except DatabaseUnavailable:
            self._liveness.forget()
            raise
        if won and self._renewed is None:
            logger.debug("This process is the leader now.")
        self._renewed = moment if won else None
        return won

    def resign(self) -> None:
        """Let another process become the leader at once; if the database is unavailable, it waits for two thirds."""
        if self._renewed is None:
            return
        self._renewed = None
        try:
            self._store.resign(self._candidate)
        except DatabaseUnavailable as error:
            logger.debug("Failed to resign as the leader: %s", error)

    def _take_over(self, moment: float) -> bool:
        """Become the leader if there is none; the process that has observed for longest does so first.

        That process knows most about which workers are dead.
        """
        leadership = self._store.leadership()
        heartbeats = self._liveness.look({} if leadership is None else {LEADER: leadership})
        observed = heartbeats[LEADER].age if leadership is not None else moment - self._began
        return observed >= self._patience and self._store.take(self._candidate, leadership)
