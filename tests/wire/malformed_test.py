"""The server refuses malformed requests once."""

import pytest

from .cases import cases
from .conftest import HttpServer
from .raw_client import talk

pytestmark = pytest.mark.slow

CASES = list(cases())


def test_there_are_more_than_a_hundred_distinct_cases() -> None:
    assert len({raw for _, raw, _ in CASES}) == len({name for name, _, _ in CASES}) == len(CASES) > 100


@pytest.mark.parametrize(("raw", "status"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_malformed_request_is_refused_once_and_others_are_served(server: HttpServer, raw: bytes, status: int) -> None:
    found = talk(server.url, raw)
    assert [answer.status for answer in found] == [status]
    found[0].problem()
    assert found[0].headers["connection"] == "close"
    server.assert_serves_others("/health/live")
