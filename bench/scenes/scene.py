"""What a scene is: something that is measured in rounds, and what of it a reader is shown."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ..results import NotRun, Record, Results
from ..servers import Servers
from ..statistics import Better, Comparison
from ..systems import ALL
from ..systems.system import System


@dataclass(frozen=True)
class Figure:
    """One column: ``name`` in the JSON, ``title`` for people, ``digits`` behind the point."""

    name: str
    title: str
    better: Better = "higher"
    digits: int = 0


@dataclass(frozen=True)
class Table:
    """Figures that are shown together, as a table and as a plot; rows that have none of them are left out."""

    name: str
    title: str
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int = 5
    seconds: float = 5
    connections: int = 16
    warm_up: float = 1
    jobs: int = 200
    """Jobs of which the latency is taken, one after the other."""
    batch: int = 1000
    batches: int = 10


SHORT = Sizes(rounds=1, seconds=1, warm_up=1, jobs=20, batch=100, batches=2)
"""To see that all works; wrk takes no less than a second."""


@dataclass
class Round:
    """One round of one scene: what it is measured with, and where it writes."""

    scene: "Scene"
    number: int
    sizes: Sizes
    servers: Servers
    results: Results
    chosen: Sequence[str]
    """The systems that the command line has named; all, where it named none."""
    folder: Path
    say: Callable[[str], None]
    broken: list[str] = field(default_factory=list)

    def record(self, row: str, **figures: float) -> None:
        """Keep these figures of that row."""
        for figure, value in figures.items():
            self.results.records.append(Record(self.scene.name, row, figure, self.number, float(value)))

    def take_turns(self, names: Sequence[str], measure: Callable[[System], None]) -> None:
        """Measure each system of these; who begins changes from round to round.

        One that cannot run, or fails, is told in the results, and the others go on.
        """
        wanted = [name for name in names if not self.chosen or name in self.chosen]
        first = (self.number - 1) % max(1, len(wanted))
        for name in wanted[first:] + wanted[:first]:
            system = ALL[name]
            missing = system.missing(self.servers)
            if missing:
                self.leave_out(name, missing)
            else:
                self.attempt(name, lambda system=system: measure(system))

    def attempt(self, row: str, measure: Callable[[], None]) -> None:
        """Measure, and where that fails, say so in the results."""
        self.say(f"round {self.number}, {self.scene.name}: {self.scene.row_title(row)}")
        try:
            measure()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the others go on
            self.leave_out(row, f"{type(error).__name__}: {error}", failed=True)

    def leave_out(self, row: str, reason: str, *, failed: bool = False) -> None:
        """This row has no figures in this round."""
        self.say(f"  not run: {self.scene.row_title(row)}: {reason}")
        self.results.not_run.append(NotRun(self.scene.name, row, self.number, reason, failed))


class Scene(ABC):
    """``measure`` is one round; all rounds of a scene are run before the next scene begins."""

    name: ClassVar[str]
    title: ClassVar[str]
    tables: ClassVar[Sequence[Table]]
    comparisons: ClassVar[Sequence[Comparison]] = ()
    rows: ClassVar[Mapping[str, str]] = {}
    """Titles of rows that are no systems."""
    needs: ClassVar[tuple[str, ...]] = ()
    note: ClassVar[str] = ""
    """What a reader must know before the tables, in Markdown."""

    @abstractmethod
    def measure(self, this: Round) -> None:
        """One round."""

    def row_title(self, row: str) -> str:
        """For people; a system that is no longer measured has its name."""
        return self.rows.get(row) or (ALL[row].title if row in ALL else row)
