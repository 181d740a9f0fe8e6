"""The client of the measurements, which a machine may lack."""

import os

import pytest

from bench.wrk import missing


@pytest.fixture
def wrk() -> None:
    """Skips the test where wrk is missing, and fails it in CI."""
    reason = missing()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: nothing may be skipped)", pytrace=False)
    if reason:
        pytest.skip(reason)
