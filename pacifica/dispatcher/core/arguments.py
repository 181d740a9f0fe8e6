"""The arguments of a task: their adapters, their text in a row, and limits of number and size."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from . import strict_json
from .errors import BadArguments
from .faults import Fault
from .job import EncodedArguments
from .type_adapters import adapter_with

CONFIG = ConfigDict(allow_inf_nan=False)


def adapter_of(annotation: Any) -> TypeAdapter[Any]:
    """The pydantic adapter of an annotation; an integer too large for a float is refused, not read as infinity."""
    kind = Any if annotation is inspect.Signature.empty else annotation
    return adapter_with(kind, CONFIG)


def json_text(value: Any) -> str:
    """The JSON text of a value; empty if it has none, and ``ArgumentType.accept`` then describes the fault."""
    try:
        return strict_json.dumps(value)
    except ValueError:
        return ""


def join_texts(texts: Sequence[str], names: Sequence[str]) -> EncodedArguments:
    """The arguments as stored in a row, from the JSON text of each; the named ones come last."""
    if not names:
        return EncodedArguments(f"[{','.join(texts)}]", "{}")
    number = len(texts) - len(names)
    named = (f"{strict_json.dumps(name)}:{text}" for name, text in zip(names, texts[number:], strict=True))
    return EncodedArguments(f"[{','.join(texts[:number])}]", f"{{{','.join(named)}}}")


@dataclass(frozen=True, slots=True)
class ArgumentLimits:
    """The maximum number of a job's arguments, positional and named together, and their maximum bytes of JSON."""

    number: int = 1000
    size: int = 1_048_576

    def check_number(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise ``BadArguments`` if there are too many; call this before the values are read, which costs more."""
        if (number := len(args) + len(kwargs)) > self.number:
            self._refuse(task, f"there are {number}; arguments_limit allows {self.number}")

    def check_size(self, task: str, encoded: EncodedArguments) -> None:
        """Raise ``BadArguments`` if the JSON text for the row has too many bytes."""
        if (size := len(encoded.args) + len(encoded.kwargs)) > self.size:
            self._refuse(task, f"they have {size} bytes of JSON; arguments_bytes allows {self.size}")

    @staticmethod
    def _refuse(task: str, message: str) -> None:
        raise BadArguments(task, [Fault("arguments", message)])


DEFAULT_LIMITS = ArgumentLimits()
