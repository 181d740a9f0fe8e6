"""Faults of a request or a setting, and the summary of many faults in one answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_FAULTS, MAX_ITEM_FAULTS = 10, 3
"""The faults that an answer names of one dispatch, and of each item of a batch, so that it stays short."""
MAX_PLACE, MAX_MESSAGE = 80, 1000
"""The characters of a fault that an answer shows."""


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


class FaultSummary:
    """The first of many ``faults``, each shortened; ``opening`` begins their sentence."""

    def __init__(self, opening: str, faults: Sequence[Fault]) -> None:
        self.faults = tuple(Fault(one.where[:MAX_PLACE], one.message[:MAX_MESSAGE]) for one in faults[:MAX_FAULTS])
        self._opening = opening
        self._number = len(faults)

    def sentence(self, most: int = MAX_FAULTS) -> str:
        """A sentence for a person, with at most so many faults."""
        first = self.faults[:most]
        named = "; ".join(f"{fault.where}: {fault.message}" for fault in first)
        more = self._number - len(first)
        return f"{self._opening}: {named}{f'; and {more} more' if more else ''}."

    def details(self, most: int = MAX_FAULTS) -> Mapping[str, Any]:
        """The member ``errors`` of a problem document, with at most so many faults."""
        return {"errors": [{"where": fault.where, "message": fault.message} for fault in self.faults[:most]]}
