"""Recognizes tools and hooks that a user has added to CherryPy's configuration."""

from collections.abc import Mapping
from typing import Any


def has_user_hooks(common: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether CherryPy's configuration, or that of the application by path, switches on a tool or hook of a user.

    It may take long, or keep state in thread-local variables, so that no loop can run it.
    """
    return any(map(_has_any, [{**common, **own.get("/", {})}, *own.values()]))


def _has_any(config: Mapping[str, Any]) -> bool:
    tools = (name for name, value in config.items() if name.endswith(".on") and value)
    return any(name.startswith("hooks.") for name in config) or any(name.startswith("tools.") for name in tools)
