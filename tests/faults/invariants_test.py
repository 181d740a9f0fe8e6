"""The check of a job's history, which the fault tests use."""

import pytest

from .invariants import misstep

ALLOWED = [
    "PENDING STARTED SUCCESS",
    "PENDING REVOKED",
    "PENDING STARTED LOST STARTED RETRY DROPPED STARTED FAILURE LATE DROPPED",
    "PENDING DROPPED STARTED CANCEL REVOKED LATE",
    "PENDING STARTED LOST REVOKED CANCEL",
]
NOT_ALLOWED = [
    "STARTED SUCCESS",
    "PENDING STARTED STARTED SUCCESS",
    "PENDING STARTED LOST STARTED STARTED SUCCESS",
    "PENDING LOST STARTED SUCCESS",
    "PENDING RETRY STARTED SUCCESS",
    "PENDING SUCCESS",
    "PENDING STARTED SUCCESS SUCCESS",
    "PENDING STARTED SUCCESS LOST",
    "PENDING REVOKED STARTED SUCCESS",
    "PENDING STARTED PENDING STARTED SUCCESS",
    "PENDING STARTED PUBLISHED SUCCESS",
]


@pytest.mark.parametrize("history", ALLOWED)
def test_history_with_a_reason_for_each_transition_is_accepted(history: str) -> None:
    assert misstep(history.split()) == ""


@pytest.mark.parametrize("history", NOT_ALLOWED)
def test_transition_without_a_reason_is_found(history: str) -> None:
    assert "has no reason" in misstep(history.split())
