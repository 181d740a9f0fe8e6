"""Whether the service accepts jobs, and whether anybody will run them: a verdict for each part that this takes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..core.errors import DatabaseUnavailable
from ..core.job import now
from ..core.ttl_cache import TtlCache
from ..store.outbox import Outbox
from ..store.workers import WorkerStore

KEPT = 1.0
"""Seconds for which a look is shared by all who ask."""
LATE = 60
"""Seconds that a job may wait in the outbox before that is told as a fault."""
COUNTED = 10_000
"""Jobs of the outbox that are counted, at most."""
OK, DEGRADED, UNAVAILABLE, UNKNOWN = VERDICTS = ("ok", "degraded", "unavailable", "unknown")


class Part(NamedTuple):
    """The verdict on one part, and a sentence where it is not ``ok``.

    ``age`` is in seconds: since it was last seen good, or of the oldest job in the outbox; ``None``: not yet seen.
    """

    verdict: str
    age: float | None = None
    told: str | None = None


@dataclass(frozen=True, slots=True)
class Readiness:
    """The parts by name, and what their numbers are."""

    parts: Mapping[str, Part]
    waiting: int
    workers: "Workers"

    @property
    def verdict(self) -> str:
        """Of all parts: ``unavailable`` when no job is accepted, ``degraded`` when one may have to wait."""
        verdicts = {part.verdict for part in self.parts.values()}
        return next((verdict for verdict in (UNAVAILABLE, DEGRADED) if verdict in verdicts), OK)

    @property
    def ready(self) -> bool:
        """Whether the service accepts jobs: that takes the database alone."""
        return self.verdict != UNAVAILABLE


class Workers(NamedTuple):
    """How many are seen to live, to have stopped, and not long enough for either; ``age`` is that of the last beat."""

    living: int = 0
    stopped: int = 0
    unknown: int = 0
    age: float | None = None


class Census:
    """Judges which workers live: whose beat has moved within ``lease`` seconds of this process's monotonic clock.

    Whoever is there at the first look may be dead already: that shows when its beat moves, or does not.
    """

    def __init__(self, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Start all over: while the database is away, nobody's beat can move."""
        self._begun = False
        self._seen: dict[str, tuple[int, float, bool]] = {}

    def look(self, beats: Mapping[str, int]) -> Workers:
        """The workers that are registered, given the beat of each."""
        moment = self._clock()
        seen = {}
        for holder, beat in beats.items():
            before = self._seen.get(holder)
            same = before is not None and before[0] == beat
            seen[holder] = before if before is not None and same else (beat, moment, self._begun)
        self._seen, self._begun = seen, True
        late = moment - self._lease
        living = [at for _, at, moved in seen.values() if moved and at >= late]
        unknown = sum(not moved and at >= late for _, at, moved in seen.values())
        moves = [at for _, at, moved in seen.values() if moved]
        age = moment - max(moves) if moves else None
        return Workers(len(living), len(seen) - len(living) - unknown, unknown, age)


class Sender(Protocol):
    """What the relay knows of the broker."""

    broker_state: str
    confirmed: float | None


class Health:
    """The verdicts; ``schema`` says ``ok``, or a sentence, and raises ``DatabaseUnavailable``."""

    def __init__(
        self, outbox: Outbox, workers: WorkerStore, relay: Callable[[], Sender], schema: Callable[[], str], lease: float
    ) -> None:
        self._outbox = outbox
        self._workers = workers
        self._relay = relay
        self._schema = schema
        self._census = Census(lease)
        self._good: float | None = None
        self._look = TtlCache(self._look_now, KEPT)

    def look(self) -> Readiness:
        """How all parts are, at most a second old; never raises for a part that is away, nor waits long for it."""
        try:
            return self._look.get()
        except TimeoutError:
            return self._without_database("The database has not answered yet.")

    def _look_now(self) -> Readiness:
        try:
            schema = self._schema()
            workers = self._census.look(self._workers.beats()) if schema == OK else Workers()
            backlog = self._outbox.backlog(at=now(), limit=COUNTED) if schema == OK else None
        except DatabaseUnavailable as error:
            self._census.forget()
            return self._without_database(str(error))
        self._good = time.monotonic()
        age = None if backlog is None or backlog.since is None else max(0.0, (now() - backlog.since) / 1_000_000)
        parts = {
            "database": Part(OK, 0.0),
            "broker": self._broker(),
            "schema": Part(OK, 0.0) if schema == OK else Part(UNAVAILABLE, None, schema),
            "outbox": Part(UNKNOWN) if backlog is None else _outbox_part(age),
            "workers": Part(UNKNOWN) if schema != OK else _workers_part(workers),
        }
        return Readiness(parts, 0 if backlog is None else backlog.jobs, workers)

    def _without_database(self, told: str) -> Readiness:
        away = Part(UNAVAILABLE, _since(self._good), told)
        unseen = dict.fromkeys(("schema", "outbox", "workers"), Part(UNKNOWN))
        return Readiness({"database": away, "broker": self._broker(), **unseen}, 0, Workers())

    def _broker(self) -> Part:
        relay = self._relay()
        age = _since(relay.confirmed)
        return Part(OK, age) if relay.broker_state == OK else Part(DEGRADED, age, relay.broker_state)


def _outbox_part(age: float | None) -> Part:
    if age is None or age <= LATE:
        return Part(OK, age)
    return Part(DEGRADED, age, f"A job has waited for the broker for {age:.0f} seconds.")


def _workers_part(workers: Workers) -> Part:
    if workers.living:
        return Part(OK, workers.age)
    if workers.unknown:
        return Part(UNKNOWN, workers.age, "No worker's beat has moved yet since this process looks.")
    return Part(DEGRADED, workers.age, "No worker is alive; accepted jobs wait for one.")


def _since(moment: float | None) -> float | None:
    return None if moment is None else time.monotonic() - moment
