"""The token buckets of the callers."""

from pacifica.dispatcher.web.auth.rate_limit import RateLimit


def test_bucket_grants_its_limit_and_refills_evenly() -> None:
    limit = RateLimit(2, 10.0)
    assert [limit.take("a", 0.0).remaining for _ in range(2)] == [1, 0]
    refused = limit.take("a", 0.0)
    assert (refused.allowed, refused.remaining, refused.reset, refused.retry_after) == (False, 0, 10, 5)
    assert limit.take("b", 0.0).allowed
    assert limit.take("a", 5.0).allowed
    assert not limit.take("a", 5.0).allowed
    assert limit.take("a", 1000.0).remaining == 1


def test_number_of_remembered_callers_is_bounded() -> None:
    limit = RateLimit(1, 10.0, callers=3)
    for number in range(100):
        limit.take(str(number), 0.0)
    assert len(limit) == 3
    assert not limit.take("99", 0.0).allowed
