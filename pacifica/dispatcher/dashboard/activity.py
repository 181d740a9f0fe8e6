"""The history of ended jobs as charts: jobs by outcome, run times and waiting times, over an hour, a day or a week."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..core.errors import BadQuery
from ..core.histogram import Histogram, quantiles, total
from ..core.job import State, iso
from ..store.job_minutes import HOUR_SPAN, MINUTE, QUARTER, EndedJobs, HistoryRow
from ..web.operation import Query
from .charts import BarChart, LineChart, bar_chart, line_chart
from .rendering import count, duration

OUTCOMES: Mapping[str, str] = {
    State.FAILURE.value: "failed",
    State.REVOKED.value: "cancelled",
    State.SUCCESS.value: "succeeded",
}
"""The outcomes from the base of a bar upwards: failures have a common base, so that they can be compared."""
SHARES = (0.5, 0.95)
Quantiles = list[float] | None


class TimeSpan(NamedTuple):
    """A span of time: its name, the length of a column in seconds, and how many there are.

    There is a label at each multiple of ``label_every`` seconds, which shows the weekday if ``weekday`` is set.
    """

    name: str
    column: int
    columns: int
    per: str
    label_every: int
    words: str
    weekday: bool = False

    def first(self, at: int) -> int:
        """The start of the first column at this time, both in seconds."""
        return at // self.column * self.column - (self.columns - 1) * self.column


SPANS: Mapping[str, TimeSpan] = {
    "hour": TimeSpan("hour", MINUTE, 60, "minute", 600, "the last hour"),
    "day": TimeSpan("day", QUARTER, 96, "15 minutes", 14_400, "the last day"),
    "week": TimeSpan("week", HOUR_SPAN, 168, "hour", 86_400, "the last week", weekday=True),
}
SPAN: Mapping[str, Mapping[str, Any]] = {
    "span": {"type": "string", "enum": list(SPANS), "description": "The span of time of the dashboard's charts."}
}
"""The schema of the query parameter."""


def read_span(value: Query) -> str:
    """The span that a query names; raises ``BadQuery``."""
    if value is None:
        return "hour"
    if not isinstance(value, str) or value not in SPANS:
        raise BadQuery(f"The query parameter span is {value!r:.80}. It must be one of: {', '.join(SPANS)}.")
    return value


class Clock(NamedTuple):
    """A time as text in UTC, in ISO 8601, and the place of its column in percent."""

    text: str
    iso: str
    x: float


class Column(NamedTuple):
    """A column of the charts, with sentences for those who point at it."""

    clock: Clock
    jobs: str
    run: str
    wait: str


class Times(NamedTuple):
    """The chart of run times or of waiting times, and the quantiles over all of the span."""

    chart: LineChart
    p50: float | None
    p95: float | None


@dataclass(frozen=True)
class Activity:
    """The history over a span of time."""

    span: TimeSpan
    columns: Sequence[Column]
    labels: Sequence[Clock]
    outcomes: Mapping[str, int]
    bars: BarChart
    run: Times
    wait: Times
    busiest: Column | None

    @property
    def jobs(self) -> int:
        return sum(self.outcomes.values())

    @property
    def failed_share(self) -> str:
        """The share of failures, in percent."""
        share = 100 * self.outcomes[State.FAILURE.value] / max(1, self.jobs)
        return f"{share:.0f} %" if share >= 10 else f"{share:.1f} %" if share >= 0.1 else "< 0.1 %"

    @property
    def summary(self) -> str:
        """The numbers of the chart in words."""
        if not self.jobs:
            return f"No job ended in {self.span.words}."
        jobs = "1 job" if self.jobs == 1 else f"{count(self.jobs)} jobs"
        return f"{jobs} ended in {self.span.words}: {_outcomes(self.outcomes)}."


def activity_of(rows: Sequence[HistoryRow], span: TimeSpan, at: int) -> Activity:
    """The history up to ``at``, in seconds, from the rows of its columns."""
    first = span.first(at)
    values = [dict.fromkeys(OUTCOMES, 0) for _ in range(span.columns)]
    ended = [EndedJobs() for _ in range(span.columns)]
    for key, jobs in rows:
        number = (key.start - first) // span.column
        if 0 <= number < span.columns:
            values[number][key.outcome] += jobs.jobs
            ended[number].add(jobs)
    run, wait = ([_quantiles(each.run) for each in ended], [_quantiles(each.wait) for each in ended])
    clocks = [_clock(span, first, number) for number in range(span.columns)]
    columns = [_column(*each) for each in zip(clocks, values, run, wait, strict=True)]
    highest = max(range(span.columns), key=lambda number: ended[number].jobs)
    return Activity(
        span,
        columns,
        [clock for number, clock in enumerate(clocks) if not (first + number * span.column) % span.label_every],
        {outcome: sum(value[outcome] for value in values) for outcome in OUTCOMES},
        bar_chart(values),
        _times([each.run for each in ended]),
        _times([each.wait for each in ended]),
        columns[highest] if ended[highest].jobs else None,
    )


def _clock(span: TimeSpan, first: int, number: int) -> Clock:
    start = first + number * span.column
    at = datetime.fromtimestamp(start, UTC)
    text = f"{at:%a %H:%M}" if span.weekday else f"{at:%H:%M}"
    return Clock(text, iso(start * 1_000_000) or "", round(number * 100 / span.columns, 3))


def _outcomes(numbers: Mapping[str, int]) -> str:
    """The numbers in words, from the top of a bar to its base."""
    return ", ".join(f"{count(numbers[each])} {OUTCOMES[each]}" for each in reversed(list(OUTCOMES)) if numbers[each])


def _column(clock: Clock, value: Mapping[str, int], run: Quantiles, wait: Quantiles) -> Column:
    return Column(clock, _outcomes(value) or "no job ended", _in_words(run), _in_words(wait))


def _quantiles(histogram: Histogram) -> Quantiles:
    return quantiles(histogram, SHARES)


def _in_words(found: Quantiles) -> str:
    return f"half within {duration(found[0])}, 95 % within {duration(found[1])}" if found else "no job"


def _times(columns: Sequence[Histogram]) -> Times:
    smooth = [quantiles(each, SHARES, smooth=True) for each in columns]
    lines = {name: [found[place] if found else None for found in smooth] for place, name in enumerate(("p50", "p95"))}
    p50, p95 = _quantiles(total(columns)) or (None, None)
    return Times(line_chart(lines), p50, p95)
