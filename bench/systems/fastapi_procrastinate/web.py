"""The API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from work import add
from work import app as procrastinate


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Open a pool of connections while the server runs."""
    async with procrastinate.open_async():
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/dispatch/add/{x}/{y}")
async def dispatch(x: int, y: int) -> dict[str, int]:
    """Dispatch a job."""
    return {"id": await add.defer_async(x=x, y=y)}


@app.get("/status/{job}")
async def status(job: int) -> dict[str, Any]:
    """Return the state; Procrastinate keeps no result."""
    return {"id": job, "state": (await procrastinate.job_manager.get_job_status_async(job)).value}
