"""The API."""

from typing import Any

from celery.result import AsyncResult
from fastapi import FastAPI
from work import add
from work import app as celery

app = FastAPI()


@app.get("/dispatch/add/{x}/{y}")
def dispatch(x: int, y: int) -> dict[str, str]:
    """Dispatch a job."""
    return {"id": add.delay(x, y).id}


@app.get("/run/add/{x}/{y}")
def run(x: int, y: int) -> dict[str, Any]:
    """Dispatch a job and wait for its result."""
    job = add.delay(x, y)
    return {"id": job.id, "state": "SUCCESS", "result": job.get(timeout=10)}


@app.get("/status/{job}")
def status(job: str) -> dict[str, Any]:
    """Return state and result."""
    found = AsyncResult(job, app=celery)
    return {"id": job, "state": found.state, "result": found.result if found.successful() else None}
