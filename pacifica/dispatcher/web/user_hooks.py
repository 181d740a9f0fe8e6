"""Recognizes tools, hooks and other code that a user has added to CherryPy's configuration."""

from collections.abc import Mapping
from typing import Any

from .application import CONFIG

CALLED = ("wsgi.", "error_page.", "request.")
"""The beginnings of settings whose values CherryPy calls, unless they are texts or numbers."""


def has_user_hooks(common: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether CherryPy's configuration, or that of the application by path, has code of a user.

    It may take long, or keep state in thread-local variables, so that no loop can run it.
    """
    return any(map(_has_any, [{**common, **own.get("/", {})}, *own.values()]))


def _has_any(config: Mapping[str, Any]) -> bool:
    tools = (name for name, value in config.items() if name.endswith(".on") and value)
    called = (name for name, value in config.items() if name.startswith(CALLED) and value is not CONFIG.get(name))
    hooks = any(name.startswith("hooks.") for name in config)  # Also by the name of a function.
    return hooks or any(name.startswith("tools.") for name in tools) or any(_is_code(config[name]) for name in called)


def _is_code(value: Any) -> bool:
    """Whether the value is more than a number or a text, such as a function or WSGI middleware."""
    return not (value is None or isinstance(value, bool | int | float | str))
