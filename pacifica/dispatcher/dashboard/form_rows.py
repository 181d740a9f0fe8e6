"""Changes of a form that its buttons make without starting a job: further rows, fewer rows, and taller fields."""

import re
from collections.abc import Mapping

from .form_values import COUNT, MAX_ROWS, TALL

COMMAND = "change"
"""The name of the buttons; the value is a sign and the name of a field."""
_ROW = re.compile(r"(.*)\[([0-9]{1,6})\]", re.DOTALL)


def changed(typed: Mapping[str, str], command: str) -> dict[str, str]:
    """The fields after the command of a button: ``+`` adds a row, ``-`` removes one, ``~`` makes a field taller."""
    sign, name = command[:1], command[1:]
    if sign == "+":
        return {**typed, f"{name}#{COUNT}": str(min(_rows(typed, name) + 1, MAX_ROWS))}
    if sign == "~":
        return {**typed, f"{name}#{TALL}": "1"}
    row = _ROW.fullmatch(name)
    return _without_row(typed, row[1], int(row[2])) if sign == "-" and row else dict(typed)


def new_row(command: str, typed: Mapping[str, str]) -> str:
    """The name of the row that a command has added; empty for another command."""
    name = command[1:]
    return f"{name}[{_rows(typed, name) - 1}]" if command[:1] == "+" else ""


def _rows(typed: Mapping[str, str], name: str) -> int:
    text = typed.get(f"{name}#{COUNT}", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _without_row(typed: Mapping[str, str], name: str, index: int) -> dict[str, str]:
    """The fields without those of a row; the later rows move up."""
    number = _rows(typed, name)
    if index >= number:
        return dict(typed)
    within = re.compile(re.escape(name) + r"\[([0-9]{1,6})\](.*)", re.DOTALL)
    found = {f"{name}#{COUNT}": str(number - 1)}
    for field, text in typed.items():
        row = within.fullmatch(field)
        if row is None:
            found.setdefault(field, text)
        elif int(row[1]) != index:
            place = int(row[1]) - (int(row[1]) > index)
            found[f"{name}[{place}]{row[2]}"] = text
    return found
