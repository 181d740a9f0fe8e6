"""The API."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI
from pgqueuer import AsyncpgPoolDriver, JobId, Queries


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[None]:
    """Open a pool of connections while the server runs."""
    async with asyncpg.create_pool(os.environ["BENCH_POSTGRESQL_URL"]) as pool:
        application.state.queries = Queries(AsyncpgPoolDriver(pool))
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/dispatch/add/{x}/{y}")
async def dispatch(x: int, y: int) -> dict[str, int]:
    """Dispatch a job."""
    (job,) = await app.state.queries.enqueue("add", json.dumps([x, y]).encode())
    return {"id": job}


@app.get("/status/{job}")
async def status(job: int) -> dict[str, Any]:
    """Return the state; PgQueuer keeps no result."""
    ((_, state),) = await app.state.queries.job_status([JobId(job)])
    return {"id": job, "state": state}
