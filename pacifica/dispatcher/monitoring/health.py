"""Readiness: whether the service accepts jobs and whether a worker will run them, with a verdict for each part."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, Self

from ..core.errors import DatabaseUnavailable
from ..core.faults import ConfigFault
from ..core.job import now
from ..core.liveness import Liveness, ObservedHeartbeat
from ..core.redaction import mask
from ..core.ttl_cache import TtlCache
from ..store.outbox import Outbox
from ..store.workers import WorkerStore

KEPT = 1.0
"""Seconds for which all callers share the result of one check."""
LATE = 60
"""Seconds that a job may wait in the outbox before the outbox counts as degraded."""
COUNTED = 10_000
"""The most jobs of the outbox that are counted."""
OK, DEGRADED, UNAVAILABLE, UNKNOWN = VERDICTS = ("ok", "degraded", "unavailable", "unknown")
PARTS = ("database", "broker", "schema", "outbox", "workers", "tasks")
SHOWN_FAULTS = 3
"""The modules that could not be imported, of which the verdict on the tasks has the reason."""


class Part(NamedTuple):
    """The verdict on one part, with a sentence that explains any verdict but ``ok``.

    ``age`` is in seconds: since the part was last seen working, or the age of the oldest job in the outbox, which with
    ``database://`` is the oldest job that a worker could claim.
    """

    verdict: str
    age: float | None = None
    message: str | None = None


class Workers(NamedTuple):
    """The number of workers in each state; ``age`` is the seconds since any heartbeat was last seen to move."""

    living: int = 0
    stopped: int = 0
    unknown: int = 0
    age: float | None = None

    @classmethod
    def of(cls, heartbeats: Mapping[str, ObservedHeartbeat], lease: float) -> Self:
        """A worker that was registered at the first look is unknown until its heartbeat moves or its lease ends."""
        within = [heartbeat for heartbeat in heartbeats.values() if heartbeat.age <= lease]
        living = sum(heartbeat.moved for heartbeat in within)
        ages = [heartbeat.age for heartbeat in heartbeats.values() if heartbeat.moved]
        return cls(living, len(heartbeats) - len(within), len(within) - living, min(ages, default=None))


NO_WORKERS = Workers()


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    """The parts by name, the number of jobs in the outbox, the workers, and the heartbeat of each by its id."""

    parts: Mapping[str, Part]
    waiting: int
    workers: Workers
    heartbeats: Mapping[str, ObservedHeartbeat] = field(default_factory=dict)
    lease: float = 0.0

    @property
    def verdict(self) -> str:
        """``unavailable``: no job is accepted; ``degraded``: one may have to wait, or tasks are missing; ``ok``."""
        verdicts = {part.verdict for part in self.parts.values()}
        return next((verdict for verdict in (UNAVAILABLE, DEGRADED) if verdict in verdicts), OK)

    @property
    def ready(self) -> bool:
        """Whether the service accepts jobs, for which it needs only the database."""
        return self.verdict != UNAVAILABLE

    def state_of(self, holder: str) -> str:
        """``alive``, ``stopped``, or ``unknown`` for a heartbeat that has not moved since the first look."""
        heartbeat = self.heartbeats.get(holder)
        if heartbeat is None:
            return UNKNOWN
        if heartbeat.age > self.lease:
            return "stopped"
        return "alive" if heartbeat.moved else UNKNOWN


class RelayState(Protocol):
    """The relay's knowledge of the broker: ``ok`` or a sentence, and the monotonic time of its last answer."""

    broker_state: str
    confirmed: float | None


class HealthCheck:
    """Checks all parts; ``schema`` returns ``ok`` or a sentence, and raises ``DatabaseUnavailable``.

    ``relay`` is ``None`` if workers claim jobs from their rows: then the database is the broker. ``missing`` returns
    the faults of modules whose tasks this process lacks.
    """

    def __init__(  # noqa: PLR0913 - each is a part that the process gives
        self,
        outbox: Outbox,
        workers: WorkerStore,
        relay: Callable[[], RelayState] | None,
        schema: Callable[[], str],
        lease: float,
        *,
        missing: Callable[[], Sequence[ConfigFault]] = tuple,
    ) -> None:
        self._outbox = outbox
        self._workers = workers
        self._relay = relay
        self._schema = schema
        self._lease = lease
        self._missing = missing
        self._liveness = Liveness(lease)
        self._good: float | None = None
        self._look = TtlCache(self._look_now, KEPT)

    def look(self) -> ReadinessReport:
        """The readiness, at most a second old; a part that is unavailable neither raises nor blocks for long."""
        try:
            return self._look.get()
        except TimeoutError:
            return self._without_database("The database has not answered yet.")

    def _look_now(self) -> ReadinessReport:
        try:
            readiness = self._read()
        except DatabaseUnavailable as error:
            self._liveness.forget()
            return self._without_database(str(error))
        self._good = time.monotonic()
        return readiness

    def _read(self) -> ReadinessReport:
        if (schema := self._schema()) != OK:
            return self._with({"database": Part(OK, 0.0), "schema": Part(UNAVAILABLE, None, schema)})
        heartbeats = self._liveness.look(self._workers.beats())
        workers = Workers.of(heartbeats, self._lease)
        backlog = self._outbox.backlog(at=now(), limit=COUNTED)
        age = None if backlog.since is None else max(0.0, (now() - backlog.since) / 1_000_000)
        own = dict.fromkeys(("database", "schema"), Part(OK, 0.0))
        parts = {**own, "outbox": self._outbox_part(age, workers), "workers": _workers_part(workers)}
        return replace(self._with(parts, backlog.jobs, workers), heartbeats=heartbeats, lease=self._lease)

    def _without_database(self, message: str) -> ReadinessReport:
        return self._with({"database": Part(UNAVAILABLE, _since(self._good), message)})

    def _with(self, parts: Mapping[str, Part], waiting: int = 0, workers: Workers = NO_WORKERS) -> ReadinessReport:
        """The readiness with these parts, the broker and the tasks; the verdict on any other part is ``unknown``."""
        unknown = dict.fromkeys(PARTS, Part(UNKNOWN))
        own = {"broker": self._broker(parts["database"]), "tasks": _tasks_part(self._missing())}
        return ReadinessReport({**unknown, **parts, **own}, waiting, workers)

    def _broker(self, database: Part) -> Part:
        if self._relay is None:
            return database
        relay = self._relay()
        age = _since(relay.confirmed)
        return Part(OK, age) if relay.broker_state == OK else Part(DEGRADED, age, relay.broker_state)

    def _outbox_part(self, age: float | None, workers: Workers) -> Part:
        """A job that waits for a busy worker is no fault, but a job that waits for the broker is one."""
        rows = self._relay is None
        if age is None or age <= LATE or (rows and workers.living):
            return Part(OK, age)
        return Part(
            DEGRADED, age, f"A job has waited for {'a worker' if rows else 'the broker'} for {age:.0f} seconds."
        )


def _workers_part(workers: Workers) -> Part:
    if workers.living:
        return Part(OK, workers.age)
    if workers.unknown:
        return Part(UNKNOWN, workers.age, "No worker's heartbeat has moved since this process began to look.")
    return Part(DEGRADED, workers.age, "No worker is alive; accepted jobs wait for one.")


def _tasks_part(faults: Sequence[ConfigFault]) -> Part:
    if not faults:
        return Part(OK)
    more = len(faults) - SHOWN_FAULTS
    shown = [mask(str(fault)) for fault in faults[:SHOWN_FAULTS]]
    sentences = [f"{one[:1].upper()}{one[1:]}" for one in shown] + [f"And {more} more."] * (more > 0)
    return Part(DEGRADED, None, " ".join(["Some tasks are missing.", *sentences]))


def _since(moment: float | None) -> float | None:
    return None if moment is None else time.monotonic() - moment
