"""The benchmark's client, which a machine may lack."""

import os

import pytest

from bench.wrk import missing


@pytest.fixture
def wrk() -> None:
    """Skip the test if wrk is missing; fail it in CI."""
    reason = missing()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: nothing may be skipped)", pytrace=False)
    if reason:
        pytest.skip(reason)
