"""What is malformed is refused, once, by either server, in the same way."""

import pytest

from .cases import cases
from .conftest import Target
from .wire import talk

CASES = list(cases())


def test_there_are_more_than_a_hundred_cases_and_each_is_one_of_its_own() -> None:
    assert len({raw for _, raw, _ in CASES}) == len({name for name, _, _ in CASES}) == len(CASES) > 100


@pytest.mark.parametrize(("raw", "status"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_it_is_refused_once_and_others_are_served(target: Target, raw: bytes, status: int) -> None:
    found = talk(target.url, raw)
    assert [answer.status for answer in found] == [status]
    found[0].problem()
    assert found[0].headers["connection"] == "close"
    target.serves_others("/health/live")
