"""What was measured, and where: every figure of every round, as JSON and back."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Record:
    """One figure of one row (a system, or a limit) in one round of a scene."""

    scene: str
    row: str
    figure: str
    round: int
    value: float


@dataclass(frozen=True)
class NotRun:
    """What was left out, and why, as a sentence. ``failed`` is whether it was tried."""

    scene: str
    row: str
    round: int
    reason: str
    failed: bool = False


@dataclass
class Results:
    """A whole run. ``facts`` is machine, versions, command and date."""

    facts: dict[str, Any]
    records: list[Record] = field(default_factory=list)
    not_run: list[NotRun] = field(default_factory=list)

    def rows(self, scene: str) -> list[str]:
        """The rows of which there is a figure, in the order of their first one in round 1."""
        return list(dict.fromkeys(record.row for record in self.records if record.scene == scene))

    def rounds(self, scene: str, row: str, figure: str) -> dict[int, float]:
        """That figure by round."""
        wanted = (scene, row, figure)
        return {one.round: one.value for one in self.records if (one.scene, one.row, one.figure) == wanted}

    def write(self, file: Path) -> None:
        """One figure a line, so that two runs can be compared by eye; replaced as a whole."""
        told = [f' "facts": {json.dumps(self.facts, indent=1)}']
        told += [_lines("records", self.records), _lines("not_run", self.not_run)]
        made = file.with_suffix(".new")
        made.write_text("{\n" + ",\n".join(told) + "\n}\n", encoding="utf-8")
        made.replace(file)

    @classmethod
    def read(cls, file: Path) -> Self:
        """What ``write`` wrote."""
        told = json.loads(file.read_text(encoding="utf-8"))
        records = [Record(**one) for one in told["records"]]
        return cls(told["facts"], records, [NotRun(**one) for one in told["not_run"]])


def _lines(name: str, values: Iterable[Record | NotRun]) -> str:
    return f' "{name}": [\n' + ",\n".join(f"  {json.dumps(asdict(value))}" for value in values) + "\n ]"
