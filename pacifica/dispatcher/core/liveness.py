"""Decides which processes are alive, by the counter (heartbeat) that each of them increments.

An observer uses its own monotonic clock, and only checks whether a counter has changed since its previous look. Clocks
of two machines are never compared.
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class ObservedHeartbeat(NamedTuple):
    """An observed counter: the seconds since it last changed, and whether it was seen to change or appear."""

    age: float
    moved: bool


class Liveness:
    """Observes heartbeats; one that has not moved for ``lease`` seconds in two successive looks is dead.

    Two looks are needed because this process may have been suspended for longer than the lease: its next look then
    finds every heartbeat unchanged, although the other processes are alive.
    """

    def __init__(self, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Start over. Call this if a look fails, because no heartbeat can move while the database is unavailable."""
        self._seen: dict[str, tuple[object, float, bool]] = {}
        self._looked = False
        self.suspects: set[str] = set()
        """The ids whose counter had not moved for the lease at the last look."""
        self.dead: set[str] = set()
        """The suspects of the last look that were suspects at the previous look, too."""

    def look(self, counters: Mapping[str, object]) -> dict[str, ObservedHeartbeat]:
        """Compare each id's counter with the previous look; an id that is no longer present is forgotten."""
        moment = self._clock()
        previous, self._seen = self._seen, {}
        for name, counter in counters.items():
            before = previous.get(name)
            unchanged = before is not None and before[0] == counter
            self._seen[name] = before if before is not None and unchanged else (counter, moment, self._looked)
        self._looked = True
        found = {name: ObservedHeartbeat(moment - since, moved) for name, (_, since, moved) in self._seen.items()}
        still = {name for name, heartbeat in found.items() if heartbeat.age >= self._lease}
        self.dead, self.suspects = still & self.suspects, still
        return found
