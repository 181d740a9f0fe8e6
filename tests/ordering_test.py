"""Each share of the tests begins with its longest ones, and no test is lost."""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from .ordering import in_lanes


@dataclass(frozen=True)
class Item:
    """A test, as far as its place depends on it."""

    path: Path
    number: int
    slow: bool

    def get_closest_marker(self, name: str) -> bool:
        return self.slow and name == "slow"


FOLDERS = {"core": False, "e2e": True, "faults": True, "store": True, "web": False}
ITEMS = [
    Item(Path(f"tests/{folder}/{file}_test.py"), number, slow)
    for folder, slow in FOLDERS.items()
    for file in "abcdef"
    for number in range(10)
]


def ordered(lanes: int) -> list[Any]:
    given: list[Any] = ITEMS
    return in_lanes(given, lanes)


@pytest.mark.parametrize("lanes", [2, 3, 4, 7, 100])
def test_every_test_has_one_place_beside_those_of_its_file(lanes: int) -> None:
    assert sorted(ordered(lanes), key=ITEMS.index) == ITEMS
    slow = [item.path for item in ordered(lanes) if item.slow]
    assert len([path for path, _ in groupby(slow)]) == len(set(slow))


def test_each_share_begins_with_its_longest_tests() -> None:
    items = ordered(3)
    for share in (items[:100], items[100:200], items[200:]):
        assert [folder for folder, _ in groupby(item.path.parts[1] for item in share)][:3] == ["e2e", "faults", "store"]
        assert not share[-1].slow


@pytest.mark.parametrize("lanes", [2, 3, 4])
def test_tests_of_the_browser_stay_together(lanes: int) -> None:
    files = [Item(Path(f"tests/browser/{file}_test.py"), number, True) for file in "ab" for number in range(3)]
    given: list[Any] = [*files, *ITEMS]
    places = [item.path.parts[1] for item in in_lanes(given, lanes)]
    assert [folder for folder, _ in groupby(places)].count("browser") == 1
