"""A histogram of durations: ten buckets for each power of ten, from a millisecond to a week.

An estimated quantile differs from the exact one by at most about 12 %, between these bounds.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

PER_DECADE = 10
LAST = 88
"""The bucket of six days and more; bucket 0 is for less than a millisecond."""
Histogram = Mapping[int, int]
"""The number of durations by bucket."""


def bucket_of(micros: int) -> int:
    """The bucket of a duration in microseconds."""
    return 0 if micros < 1000 else min(LAST, 1 + int(PER_DECADE * math.log10(micros / 1000)))


def upper_bound(bucket: int) -> float:
    """The end of a bucket, in seconds."""
    return float(10 ** (bucket / PER_DECADE) / 1000)


def total(histograms: Iterable[Histogram]) -> Histogram:
    """The sum of several histograms."""
    counted: dict[int, int] = {}
    for each in histograms:
        for bucket, number in each.items():
            counted[bucket] = counted.get(bucket, 0) + number
    return counted


def quantiles(histogram: Histogram, shares: Sequence[float], *, smooth: bool = False) -> list[float] | None:
    """For each share, in ascending order, the duration in seconds that this share of all durations does not exceed.

    It is the middle of a bucket, on a logarithmic scale. With ``smooth``, the durations of a bucket are taken as evenly
    spread: a line of such values has no steps, but for equal durations a value may differ by 26 %. ``None`` if there
    are no durations.
    """
    number = sum(histogram.values())
    if not number:
        return None
    found: list[float] = []
    counted = 0
    for bucket in sorted(histogram):
        before, counted = counted, counted + histogram[bucket]
        while len(found) < len(shares) and counted >= (rank := math.ceil(shares[len(found)] * number)):
            part = 1 - (rank - before - 0.5) / histogram[bucket] if smooth else 0.5
            found.append(upper_bound(bucket) * float(10 ** (-part / PER_DECADE)))
    return found
