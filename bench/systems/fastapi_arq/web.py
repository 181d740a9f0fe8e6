"""The API."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.jobs import Job, JobStatus
from fastapi import FastAPI


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[None]:
    """A pool of connections while it serves."""
    application.state.redis = await create_pool(RedisSettings.from_dsn(os.environ["BENCH_REDIS_URL"] + "/0"))
    yield
    await application.state.redis.aclose()


app = FastAPI(lifespan=lifespan)


@app.get("/dispatch/add/{x}/{y}")
async def dispatch(x: int, y: int) -> dict[str, str]:
    """Start it."""
    return {"id": (await app.state.redis.enqueue_job("add", x, y)).job_id}


@app.get("/status/{job}")
async def status(job: str) -> dict[str, Any]:
    """How it is, and what came of it; the result first, as one look is enough once it is there."""
    found = Job(job, app.state.redis)
    told = await found.result_info()
    if told is None:
        state = await found.status()
        if state is not JobStatus.complete:
            return {"id": job, "state": state.value, "result": None}
        # It has ended between the two looks.
        told = await found.result_info()
    return {"id": job, "state": "complete", "result": told.result}
