"""The modules of the benchmark fit together, also those that no short run loads."""

import importlib
import pkgutil

import pytest

import bench

NAMES = [found.name for found in pkgutil.walk_packages(bench.__path__, "bench.")]


@pytest.mark.parametrize("name", NAMES)
def test_each_module_can_be_imported(name: str) -> None:
    assert importlib.import_module(name).__doc__
