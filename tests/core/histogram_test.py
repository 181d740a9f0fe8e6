"""Estimated quantiles of durations are close to the exact ones."""

import math
import random

import pytest

from pacifica.dispatcher.core.histogram import LAST, bucket_of, quantiles, total, upper_bound


def of(*micros: int) -> dict[int, int]:
    """The histogram of these durations."""
    return dict(total({bucket_of(each): 1} for each in micros))


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_differ_from_the_exact_ones_by_at_most_an_eighth(seed: int) -> None:
    draw = random.Random(seed)
    micros = sorted(int(10 ** draw.uniform(3.2, 11)) for _ in range(1 + 200 * seed))
    shares = (0.01, 0.5, 0.95, 1.0)
    found = quantiles(of(*micros), shares)
    assert found is not None
    exact = [micros[math.ceil(share * len(micros)) - 1] / 1_000_000 for share in shares]
    assert all(1 / 1.13 < each / known < 1.13 for each, known in zip(found, exact, strict=True))


def test_buckets_begin_at_a_millisecond_and_end_with_a_week() -> None:
    assert [bucket_of(micros) for micros in (-5, 0, 999, 1000, 9_999, 10_000)] == [0, 0, 0, 1, 10, 11]
    assert [bucket_of(days * 86_400_000_000) for days in (5, 6, 7, 400)] == [LAST - 1, LAST, LAST, LAST]
    assert upper_bound(bucket_of(1_000_000)) > 1 >= upper_bound(bucket_of(1_000_000) - 1)


def test_no_duration_has_no_quantile() -> None:
    assert quantiles({}, [0.5]) is None
    assert quantiles({5: 0}, [0.5]) is None


def test_smooth_quantiles_of_spread_durations_are_closer() -> None:
    found = quantiles(of(*(1000 * each for each in range(1, 10_001))), (0.5, 0.95), smooth=True)
    assert found == pytest.approx([5.0, 9.5], rel=0.02)
    alone = quantiles({bucket_of(1_000_000): 1}, [0.5], smooth=True)
    assert alone == quantiles({bucket_of(1_000_000): 1}, [0.5])
