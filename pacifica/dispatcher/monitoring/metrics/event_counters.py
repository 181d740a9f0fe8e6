"""How jobs have ended, counted from their events: a worker serves no HTTP, and the history has all of it.

What was counted, and up to which event, is kept together and replaced as one. So each event counts
once, whichever process looks and whenever one dies.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ...core import strict_json
from ...core.errors import DatabaseUnavailable
from ...store.stats import Ended
from .multiprocess import locked, tell_once

logger = logging.getLogger(__name__)

PAGE = 5000
"""Event ids that one query looks at."""
LOOK = 2.0
"""Seconds between two looks; an event whose id was given before a look has shown up by the next."""
LONGEST = 0.25
"""Seconds that one look takes, about; what is left is for the next."""


class History(Protocol):
    """What is asked of the record; ``ordered``: events show up in the order of their ids."""

    ordered: bool

    def last(self) -> int:
        """The highest id of an event."""

    def ended(self, after: int, upto: int) -> list[Ended]:
        """What the events tell whose ids are in between."""


@dataclass(frozen=True)
class Counted:
    """Everything up to the event ``place``.

    ``events`` are by task and kind, ``runs`` by task, kind and bucket, ``ran`` are microseconds by task and kind.
    ``last`` is the highest id at the time ``at`` of the monotonic clock, which all processes of a machine share.
    """

    place: int = 0
    last: int = 0
    at: float = 0.0
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    runs: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    ran: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def left(self) -> int:
        """How many events are not counted yet, about."""
        return max(0, self.last - self.place)

    def with_ended(self, found: list[Ended], place: int) -> "Counted":
        """Also what was found up to that place."""
        events, runs, ran = self.events.copy(), self.runs.copy(), self.ran.copy()
        for one in found:
            task = one.task or ""
            events[task, one.kind] += one.events
            if one.bucket is not None:
                runs[task, one.kind, one.bucket] += one.events
                ran[task, one.kind] += one.ran
        return replace(self, place=place, events=events, runs=runs, ran=ran)

    def to_text(self) -> str:
        """As one line of JSON."""
        counters = {name: list(map(list, getattr(self, name).items())) for name in ("events", "runs", "ran")}
        return strict_json.dumps({"place": self.place, "last": self.last, "at": self.at, **counters})

    @classmethod
    def from_text(cls, text: str) -> "Counted":
        """What ``to_text`` made; raises one of ``DAMAGED`` for anything else."""
        known: dict[str, Any] = strict_json.loads(text)
        for name in ("events", "runs", "ran"):
            known[name] = Counter({tuple(key): int(number) for key, number in known[name]})
        place, last, at = int(known.pop("place")), int(known.pop("last")), float(known.pop("at"))
        return cls(place, last, at, **known)


DAMAGED = (ValueError, TypeError, KeyError, AttributeError)
"""What reading it raises when it is not what was written."""


class Keep(Protocol):
    """Where the counted is kept; ``turn`` says whether it is this caller's turn to replace it."""

    def read(self) -> Counted | None:
        """What is kept."""

    def write(self, counted: Counted) -> None:
        """Replace it as a whole."""

    def turn(self) -> Any:
        """A context in which nobody else replaces it, if its value is true."""


class InMemory:
    """For a process that is alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: Counted | None = None

    def read(self) -> Counted | None:
        """What is kept."""
        return self._counted

    def write(self, counted: Counted) -> None:
        """Replace it."""
        self._counted = counted

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """One thread at a time."""
        taken = self._lock.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._lock.release()


class InFolder:
    """For processes that share a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tally.json"
        self._lock = folder / "tally.lock"

    def read(self) -> Counted | None:
        """What is kept; nothing, where it cannot be read."""
        try:
            return Counted.from_text(self._path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        except (OSError, *DAMAGED) as error:
            tell_once(f"Events of jobs are counted anew, as {self._path} cannot be read: {error!r}")
            return None

    def write(self, counted: Counted) -> None:
        """Replace it, or leave it where that is not possible: whoever reads sees the old or the new."""
        new = self._path.with_suffix(".new")
        try:
            new.write_text(counted.to_text(), encoding="ascii")
            new.replace(self._path)
        except OSError as error:
            tell_once(f"Events of jobs are counted again at each look, as {new} cannot be written: {error.strerror}")

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """One thread of one process at a time; nobody's, where there can be no lock."""
        with ExitStack() as held:
            try:
                taken = held.enter_context(locked(self._lock))
            except OSError as error:
                tell_once(f"Events of jobs are not counted, as {self._lock} cannot be opened: {error.strerror}")
                taken = False
            yield taken


class Tally:
    """Counts from the service's start; it looks when somebody asks, and at most every ``LOOK`` seconds."""

    def __init__(self, history: History, keep: Keep) -> None:
        self._history = history
        self._keep = keep

    def begin(self) -> None:
        """Count what happens from now on, unless another process has begun; raises ``DatabaseUnavailable``."""
        with self._keep.turn() as ours:
            if ours and self._keep.read() is None:
                self._keep.write(self._start())

    def look(self, *, ask: bool = True) -> Counted:
        """What has been counted; what was before, while the database is away, another one looks, or without ``ask``."""
        with self._keep.turn() as ours:
            counted = self._keep.read()
            if ask and ours and (counted is None or not 0 <= time.monotonic() - counted.at < LOOK):
                try:
                    counted = self._start() if counted is None else self._advance(counted)
                except DatabaseUnavailable as error:
                    logger.debug("events are counted later: %s", error)
                else:
                    self._keep.write(counted)
        return counted or Counted()

    def _start(self) -> Counted:
        last = self._history.last()
        return Counted(last, last, time.monotonic())

    def _advance(self, counted: Counted) -> Counted:
        upto, moment = self._history.last(), time.monotonic()
        # On a server an id is given before its commit: what is older than the last look is there, or never will be.
        settled = upto if self._history.ordered else counted.last
        counted = replace(counted, last=upto, at=moment)
        while counted.place < settled and time.monotonic() - moment < LONGEST:
            place = min(settled, counted.place + PAGE)
            counted = counted.with_ended(self._history.ended(counted.place, place), place)
        return counted
