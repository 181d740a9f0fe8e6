"""The figures of every round, and where they were measured, as JSON and back."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Record:
    """One figure of one row in one round of a scene."""

    scene: str
    row: str
    figure: str
    round: int
    value: float


@dataclass(frozen=True)
class NotRun:
    """A row without figures, and the reason; ``failed`` says whether it was attempted."""

    scene: str
    row: str
    round: int
    reason: str
    failed: bool = False


@dataclass
class Results:
    """A whole run; ``facts`` are the machine, the versions, the command and the date."""

    facts: dict[str, Any]
    records: list[Record] = field(default_factory=list)
    not_run: list[NotRun] = field(default_factory=list)

    def rows(self, scene: str) -> list[str]:
        """Return the rows with figures, in the order in which they were measured first."""
        return list(dict.fromkeys(record.row for record in self.records if record.scene == scene))

    def rounds(self, scene: str, row: str, figure: str) -> dict[int, float]:
        """Return the figure by round."""
        wanted = (scene, row, figure)
        return {one.round: one.value for one in self.records if (one.scene, one.row, one.figure) == wanted}

    def write(self, file: Path) -> None:
        """Write one figure per line, so that two runs can be compared; replaces the file as a whole."""
        parts = [f' "facts": {json.dumps(self.facts, indent=1)}']
        parts += [_lines("records", self.records), _lines("not_run", self.not_run)]
        new = file.with_suffix(".new")
        new.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
        new.replace(file)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Return what ``write`` wrote."""
        found = json.loads(file.read_text(encoding="utf-8"))
        records = [Record(**one) for one in found["records"]]
        return cls(found["facts"], records, [NotRun(**one) for one in found["not_run"]])


def _lines(name: str, values: Iterable[Record | NotRun]) -> str:
    return f' "{name}": [\n' + ",\n".join(f"  {json.dumps(asdict(value))}" for value in values) + "\n ]"
