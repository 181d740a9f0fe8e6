"""The tasks."""

import os
from typing import Any

from arq.connections import RedisSettings


async def add(_: dict[Any, Any], x: int, y: int) -> int:
    """Add two numbers."""
    return x + y


QUIET = {"version": 1, "loggers": {"arq": {"level": "WARNING"}}}


class WorkerSettings:
    """The settings that arq's command reads."""

    functions = (add,)
    redis_settings = RedisSettings.from_dsn(os.environ["BENCH_REDIS_URL"] + "/0")
    poll_delay = 0.01
