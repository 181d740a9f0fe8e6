"""The order of the tests when several processes of pytest-xdist run them.

``--dist worksteal`` first gives each process an equal number of neighbours, and an idle process then takes the last
half of what another one still has to do. So each share begins with its longest tests and ends with the shortest.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, groupby, islice
from pathlib import Path

import pytest

LONG_FOLDERS = {"adoption", "bench", "browser", "chaos", "database_transport", "docs", "e2e", "faults"}
"""Their slow tests take seconds; those of other folders mostly less than one."""

SHARING_FOLDERS = {"browser"}
"""The tests of all files of these folders share costly fixtures, so they stay together."""


def in_lanes(items: Sequence[pytest.Item], lanes: int) -> list[pytest.Item]:
    """Return the items in an order whose equal parts take about the same time; the tests of a file stay together."""
    files = [list(group) for _, group in groupby(items, place)]
    long, short, fast = ([file for file in files if rank(file) == wanted] for wanted in range(3))
    shares = [list(chain(*long[lane::lanes], *short[lane::lanes])) for lane in range(lanes)]
    return list(chain(*fill(shares, chain(*fast), len(items))))


def place(item: pytest.Item) -> Path:
    """Return the file of a test, or the folder whose tests stay together."""
    return item.path.parent if item.path.parent.name in SHARING_FOLDERS else item.path


def rank(file: Sequence[pytest.Item]) -> int:
    """Return 0 for a file with tests of seconds, 1 for one with other slow tests, 2 for one of fast tests."""
    if not any(item.get_closest_marker("slow") for item in file):
        return 2
    return 0 if LONG_FOLDERS.intersection(file[0].path.parts) else 1


def fill(shares: list[list[pytest.Item]], others: Iterable[pytest.Item], total: int) -> list[list[pytest.Item]]:
    """Add the other items to the ends of the shares, so that these are of equal size if possible."""
    rest = iter(others)
    for number, share in enumerate(shares):
        wanted = total * (number + 1) // len(shares) - total * number // len(shares)
        share.extend(islice(rest, max(0, wanted - len(share))))
    shares[-1].extend(rest)
    return shares
