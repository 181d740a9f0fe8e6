"""The options of a dispatch, as ``-o`` and ``-l`` say them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ..client import Options
from ..core.text_values import possible_values

NAMES = ", ".join(sorted(Options.__annotations__))
Pairs = tuple[tuple[str, str], ...]


def options_of(given: Sequence[tuple[str, str]], labels: Sequence[tuple[str, str]]) -> Options:
    """The options as JSON values; which there are, and what they may be, is the service's to say."""
    return merged({"labels": dict(labels)} if labels else {}, {name: _value(name, text) for name, text in given})


def merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> Options:
    """The options and the labels of both; where both have one of a name, it is the ``own``."""
    both, labels = {**common, **own}, (common.get("labels"), own.get("labels"))
    if isinstance(labels[0], Mapping) and isinstance(labels[1], Mapping):
        both["labels"] = {**labels[0], **labels[1]}
    return cast("Options", both)


def _value(name: str, text: str) -> Any:
    """Labels are the one option that is an object."""
    return possible_values(text)[-1 if name == "labels" else 0]
