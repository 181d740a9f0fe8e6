"""A short run of ``make chaos``."""

import pytest

from .chaos import prepared

PAIRS = [("rabbitmq", "sqlite"), ("redis", "postgresql"), ("database", "mysql")]


@pytest.mark.parametrize(("broker", "database"), PAIRS)
def test_no_job_is_lost_or_doubled_while_everything_is_killed(broker: str, database: str) -> None:
    # With Redis, a foreign program's jobs are part of `make chaos` alone: each lost message is awaited for long.
    with prepared(broker, database, seed=7, rate=25, foreign=broker == "rabbitmq") as chaos:
        record = chaos.run(7)
        assert len(record.jobs) >= 20
