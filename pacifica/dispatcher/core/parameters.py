"""The parameters of a task: which value is for which one, and the ways to pass the arguments."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from .faults import MAX_FAULTS, Fault

Parameter = inspect.Parameter


class CallShape(NamedTuple):
    """One way to pass a task's arguments, some by position and the others by name, in names of parameters.

    ``rest`` is the parameter for any number of further arguments by position. ``extra``: any other name is accepted,
    too, except those in ``taken``.
    """

    positional: Sequence[str]
    rest: str | None
    named: Sequence[str]
    required: Sequence[str]
    extra: bool
    taken: Sequence[str]


class Argument(NamedTuple):
    """One argument of a request: its name in faults, its parameter, and its value."""

    where: str
    parameter: Parameter
    value: Any


class Parameters:
    """The parameters of a signature, by name."""

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self._all = parameters
        every = parameters.values()
        self._positional = [p for p in every if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._keywords = [p for p in every if p.kind is p.KEYWORD_ONLY]
        self._rest = next((p for p in every if p.kind is p.VAR_POSITIONAL), None)
        self._extra = next((p for p in every if p.kind is p.VAR_KEYWORD), None)
        self.exact = None if any(_required(p) for p in self._keywords) else self._positional
        """The parameters that arguments by position alone fit one to one; ``None`` if some are needed by name."""

    def assign(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Argument], list[Fault]]:
        """Each value with its parameter, positional values first; and the faults, if they do not fit.

        After more faults than an answer names, further arguments are not looked at.
        """
        if not kwargs and self.exact is not None and len(args) == len(self.exact):
            return [Argument(p.name, p, value) for p, value in zip(self._positional, args, strict=True)], []
        taken = {p.name for p in self._positional[: len(args)]}
        found: list[Argument] = []
        faults: list[Fault] = []
        by_position = (self._by_position(index, value) for index, value in enumerate(args))
        for one in chain(by_position, (self._by_name(name, value, taken) for name, value in kwargs.items())):
            if isinstance(one, Argument):
                found.append(one)
                continue
            faults.append(one)
            if len(faults) > MAX_FAULTS:
                break
        given = taken | {name for name in kwargs if _has_name(self._all.get(name))}
        missing = [p.name for p in self._all.values() if _required(p) and p.name not in given]
        return found, faults + [Fault(name, "is missing") for name in missing]

    def shapes(self) -> Iterator[CallShape]:
        """Each way to pass the arguments, from none by position to all by position."""
        for number in range(len(self._positional) + 1):
            left = self._positional[number:] + self._keywords
            if any(_required(p) and not _has_name(p) for p in left):
                continue
            named = [p for p in left if _has_name(p)]
            yield CallShape(
                positional=[p.name for p in self._positional[:number]],
                rest=self._rest.name if self._rest and number == len(self._positional) else None,
                named=[p.name for p in named],
                required=[p.name for p in named if _required(p)],
                extra=self._extra is not None,
                taken=[p.name for p in self._positional[:number] if _has_name(p)],
            )

    def _by_position(self, index: int, value: Any) -> Argument | Fault:
        if index < len(self._positional):
            parameter = self._positional[index]
            return Argument(parameter.name, parameter, value)
        if self._rest is None:
            return Fault(f"argument {index + 1}", f"is one too many; the task takes {_names(self._positional)}")
        return Argument(f"{self._rest.name}[{index - len(self._positional)}]", self._rest, value)

    def _by_name(self, name: str, value: Any, taken: set[str]) -> Argument | Fault:
        own = self._all.get(name)
        parameter = own if _has_name(own) else self._extra
        if name in taken and _has_name(own):
            return Fault(name, "is given twice, by position and by name")
        if parameter is None:
            return Fault(name, f"is not an argument of the task; it takes {_names(self._all.values())}")
        return Argument(name, parameter, value)


def _has_name(parameter: Parameter | None) -> bool:
    return parameter is not None and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


def _required(parameter: Parameter) -> bool:
    variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variable


def _names(parameters: Iterable[Parameter]) -> str:
    return ", ".join(parameter.name for parameter in parameters) or "none"
