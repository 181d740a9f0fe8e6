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
    """Open a pool of connections while the server runs."""
    application.state.redis = await create_pool(RedisSettings.from_dsn(os.environ["BENCH_REDIS_URL"] + "/0"))
    yield
    await application.state.redis.aclose()


app = FastAPI(lifespan=lifespan)


@app.get("/dispatch/add/{x}/{y}")
async def dispatch(x: int, y: int) -> dict[str, str]:
    """Dispatch a job."""
    return {"id": (await app.state.redis.enqueue_job("add", x, y)).job_id}


@app.get("/status/{job}")
async def status(job: str) -> dict[str, Any]:
    """Return state and result; one read is enough once there is a result."""
    found = Job(job, app.state.redis)
    info = await found.result_info()
    if info is None:
        state = await found.status()
        if state is not JobStatus.complete:
            return {"id": job, "state": state.value, "result": None}
        # The job has ended between the two reads.
        info = await found.result_info()
    return {"id": job, "state": "complete", "result": info.result}
