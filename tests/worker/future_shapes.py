"""A function whose annotations are texts, one of which can be evaluated by type checkers only."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nowhere import Instrument  # type: ignore[import-not-found]


def weigh(mass: Decimal, instrument: Instrument, runs: int = 1) -> str:
    """Annotated as in a module that avoids an import."""
    return f"{mass!r} {instrument!r} {runs}"
