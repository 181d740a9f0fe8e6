"""Faults of a request or a setting, and how many of them an answer names."""

from dataclasses import dataclass

MAX_FAULTS, MAX_ITEM_FAULTS = 10, 3
"""How many faults an answer names for one dispatch, and for each item of a batch."""
MAX_DESCRIBED_ITEMS, MAX_HINTS = 500, 20
"""For how many items of a batch, of those that are not valid, the faults are described and similar names searched."""
MAX_PLACE, MAX_MESSAGE = 80, 1000
"""How many characters of a fault's place and message an answer shows."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request: where it is, and what is wrong with it."""

    where: str
    message: str


@dataclass(frozen=True)
class ConfigFault:
    """One setting that cannot be used, with the value as it was written."""

    section: str
    key: str
    value: str
    message: str

    def __str__(self) -> str:
        return f"[{self.section}] {self.key} = {self.value}: {self.message}"
