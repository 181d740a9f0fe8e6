"""The tasks, and a worker: `python -m work`, as the command `pgq run` fails with the newest typer."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pgqueuer
import uvloop
from pgqueuer import Job, PgQueuer


@asynccontextmanager
async def main() -> AsyncIterator[PgQueuer]:
    """Open the queue of a worker."""
    async with asyncpg.create_pool(os.environ["BENCH_POSTGRESQL_URL"], min_size=2) as pool:
        queue = PgQueuer.from_asyncpg_pool(pool)

        @queue.entrypoint("add")
        async def add(job: Job) -> None:
            """Add two numbers."""
            x, y = json.loads(job.payload or b"")
            assert x + y == 4

        yield queue


if __name__ == "__main__":
    uvloop.run(pgqueuer.run(main, batch_size=50))
