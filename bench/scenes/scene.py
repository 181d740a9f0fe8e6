"""A scene: something that is measured in rounds, and the tables and comparisons that the report shows of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..results import NotRun, Record, Results
from ..servers import Servers
from ..statistics import Comparison
from ..systems import ALL
from ..systems.system import System


@dataclass(frozen=True)
class Figure:
    """A column: ``name`` in the JSON, ``title`` in the report, ``digits`` after the point."""

    name: str
    title: str
    digits: int = 0


@dataclass(frozen=True)
class Table:
    """Figures that are shown together; rows without any of them are left out."""

    title: str
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int = 5
    seconds: float = 3
    connections: int = 16
    warm_up: float = 1
    jobs: int = 200
    """Jobs whose latency is measured, one after the other."""
    batch: int = 1000
    batches: int = 10
    backlog: int = 20_000
    table: int = 1_000_000
    waiting: int = 100_000


SHORT = Sizes(rounds=1, seconds=1, warm_up=0, jobs=20, batch=100, batches=2, backlog=200, table=1000, waiting=1000)
"""Enough to see that everything works; wrk takes at least a second."""


@dataclass
class Round:
    """One round of a scene: its tools, and where its figures go."""

    scene: "Scene"
    number: int
    sizes: Sizes
    servers: Servers
    results: Results
    chosen: Sequence[str]
    """The systems that the command line names; empty: all."""
    print_line: Callable[[str], None]

    def record(self, row: str, **figures: float) -> None:
        """Store figures of a row."""
        for figure, value in figures.items():
            self.results.records.append(Record(self.scene.name, row, figure, self.number, float(value)))

    def take_turns(self, names: Sequence[str], measure: Callable[[System], None]) -> None:
        """Measure each of these systems; each round begins with another one.

        The results name each system that cannot run or fails, and the others are measured.
        """
        wanted = [name for name in names if not self.chosen or name in self.chosen]
        first = (self.number - 1) % max(1, len(wanted))
        for name in wanted[first:] + wanted[:first]:
            self.attempt(name, ALL[name].missing(), lambda name=name: measure(ALL[name]))

    def attempt(self, row: str, missing: str, measure: Callable[[], None]) -> None:
        """Measure, unless something is ``missing``; the results say why a row has no figures."""
        if missing:
            self._leave_out(row, missing)
            return
        self.print_line(f"round {self.number}, {self.scene.name}: {self.scene.row_title(row)}")
        try:
            measure()
        except Exception as error:  # noqa: BLE001 - the results name any error, and the other rows are measured
            self._leave_out(row, f"{type(error).__name__}: {error}", failed=True)

    def _leave_out(self, row: str, reason: str, *, failed: bool = False) -> None:
        self.print_line(f"  not run: {self.scene.row_title(row)}: {reason}")
        self.results.not_run.append(NotRun(self.scene.name, row, self.number, reason, failed))


class Scene(ABC):
    """``measure`` is one round; all rounds of a scene run before the next scene begins."""

    name: ClassVar[str]
    title: ClassVar[str]
    tables: ClassVar[Sequence[Table]]
    comparisons: ClassVar[Sequence[Comparison]] = ()
    rows: ClassVar[Mapping[str, str]] = {}
    """Titles of rows that are not systems."""

    @abstractmethod
    def measure(self, this: Round) -> None:
        """Measure one round."""

    def row_title(self, row: str) -> str:
        """Return the title of a row; a system that is no longer measured is shown by its name."""
        return self.rows.get(row) or (ALL[row].title if row in ALL else row)
