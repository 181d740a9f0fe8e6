"""Between the values of a task's form and the arguments of a call, in both directions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ..core.faults import Fault
from ..core.registry import TaskSpec
from .docstring import parsed
from .form_schema import ABSENT, FormNode, Values, node_of, nodes_of

EXTRA = "**"
"""The key of the arguments by name that the signature does not list."""
TOO_FAR = "must be given, because an argument after it is passed by position"
NO_OBJECT = 'must be a JSON object, such as {"name": 1}'


@dataclass(frozen=True, slots=True)
class CallForm:
    """The nodes of a task's arguments, and how the function takes them.

    ``positional`` may be passed by position, in this order; of these, ``unnamed`` cannot be passed by name. ``rest``
    takes any number of further ones.
    """

    nodes: Sequence[FormNode]
    positional: Sequence[str]
    unnamed: Sequence[str]
    rest: str | None

    def call(self, values: Values) -> tuple[list[Any], dict[str, Any], list[Fault]]:
        """The arguments by position and by name; and a fault for each one that cannot be left out."""
        given = {name: value for name, value in values.items() if value is not ABSENT}
        extra = given.pop(EXTRA, {})
        further = given.pop(self.rest, []) if self.rest else []
        if not isinstance(further, list):
            further = [further]
        number = len(self.positional) if further else self._by_position(given)
        args, faults = self._positional(given, number)
        named = {name: value for name, value in given.items() if name not in self.positional[:number]}
        faults += self._extra_faults(extra)
        return [*args, *further], {**(extra if isinstance(extra, dict) else {}), **named}, faults

    def values(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The values by name of a call; those that the signature does not know are dropped."""
        found = dict(zip(self.positional, args, strict=False))
        known = {node.key for node in self.nodes} - {EXTRA, self.rest, *self.unnamed}
        found |= {name: value for name, value in kwargs.items() if name in known}
        if self.rest and len(args) > len(self.positional):
            found[self.rest] = list(args[len(self.positional) :])
        others = {name: value for name, value in kwargs.items() if name not in known}
        takes_others = any(node.key == EXTRA for node in self.nodes)
        return {**found, EXTRA: others} if others and takes_others else found

    def _extra_faults(self, extra: Any) -> list[Fault]:
        if not isinstance(extra, dict):
            return [Fault(EXTRA, NO_OBJECT)]
        own = {node.key for node in self.nodes} - {EXTRA, self.rest, *self.unnamed}
        return [Fault(EXTRA, f"has {name}, which has a field of its own") for name in extra if name in own]

    def _by_position(self, given: Values) -> int:
        """How many of the arguments are passed by position: only those that have no name."""
        return max([self.positional.index(name) + 1 for name in self.unnamed if name in given], default=0)

    def _positional(self, given: Values, number: int) -> tuple[list[Any], list[Fault]]:
        args, faults = [], []
        defaults = {node.key: node.default for node in self.nodes}
        for name in self.positional[:number]:
            value = given.get(name, defaults[name])
            if value is ABSENT:
                faults.append(Fault(name, TOO_FAR))
            args.append(None if value is ABSENT else value)
        return args, faults


@lru_cache(maxsize=1024)
def form_of(spec: TaskSpec) -> CallForm:
    """The form of a task; made once, as a schema takes a millisecond."""
    schema = spec.arguments_schema()
    shapes = list(spec.shapes())
    last = shapes[-1]
    named = {name for shape in shapes for name in shape.named}
    unnamed = [name for name in last.positional if name not in named]
    said = parsed(spec.doc).arguments
    nodes = [
        replace(node, description=node.description or said.get(node.key, "")) for node in _nodes(schema, last.rest)
    ]
    return CallForm(nodes, last.positional, unnamed, last.rest)


def _nodes(schema: Mapping[str, Any], rest: str | None) -> Iterator[FormNode]:
    for node in nodes_of(schema):
        if node.key == rest:
            yield FormNode(
                node.key, node.kind, required=False, description="Any number of further values.", item=node.item
            )
        else:
            yield node
    extra = schema.get("additionalProperties")
    if extra is not False:
        own = {"type": "object", "additionalProperties": extra, "description": "Any further arguments by name."}
        yield node_of(EXTRA, own, schema.get("$defs", {}), required=False)
