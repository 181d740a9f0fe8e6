"""What people see of a command: rich's console, and one way to print JSON."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..core import strict_json

WHOLE = ("ID", "UUID")
"""The columns that are never folded: what is in them is copied."""


class Screen(Console):
    """Standard output, without colour when it is piped; the group ends a command whose reader has gone away."""

    def on_broken_pipe(self) -> None:
        """Rich would end the command as if it had failed."""
        raise BrokenPipeError


def print_json(value: Any) -> None:
    """A line of JSON, as the HTTP API writes it."""
    click.echo(strict_json.pretty(value), nl=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """A table for people; a terminal folds what it has no room for, and a pipe gets each row on a line."""
    Screen(width=None if sys.stdout.isatty() else 10_000).print(table_of(columns, rows))


def table_of(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """The table itself; texts are shown as they are, whatever rich would make of them."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=bool(columns))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in WHOLE)
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table
