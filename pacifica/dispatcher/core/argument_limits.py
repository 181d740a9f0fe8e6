"""How much the arguments of one job may be; refused before a row exists, whoever dispatches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import strict_json
from .errors import BadArguments, Fault


@dataclass(frozen=True, slots=True)
class ArgumentLimits:
    """How many there may be, by position and by name together, and of how many bytes of JSON."""

    number: int = 1000
    size: int = 1_048_576

    def check_number(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise ``BadArguments`` when there are too many; cheap, so it comes before they are read."""
        if (number := len(args) + len(kwargs)) > self.number:
            self._refuse(task, f"are {number}; arguments_limit allows {self.number}")

    def check_size(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise ``BadArguments`` when the JSON values, as the row would hold them, have too many bytes."""
        try:
            size = len(strict_json.dumps(args)) + len(strict_json.dumps(kwargs) if kwargs else "{}")
        except ValueError:
            return  # Which of them is no JSON is told when each is read.
        if size > self.size:
            self._refuse(task, f"have {size} bytes of JSON; arguments_bytes allows {self.size}")

    @staticmethod
    def _refuse(task: str, told: str) -> None:
        raise BadArguments(task, [Fault("arguments", told)])


USUAL = ArgumentLimits()
