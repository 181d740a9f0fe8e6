"""The API."""

from typing import Any

from dramatiq.results import ResultMissing
from fastapi import FastAPI
from work import add

app = FastAPI()


@app.get("/dispatch/add/{x}/{y}")
def dispatch(x: int, y: int) -> dict[str, str]:
    """Dispatch a job."""
    return {"id": add.send(x, y).message_id}


@app.get("/run/add/{x}/{y}")
def run(x: int, y: int) -> dict[str, Any]:
    """Dispatch a job and wait for its result."""
    job = add.send(x, y)
    return {"id": job.message_id, "state": "SUCCESS", "result": job.get_result(block=True, timeout=10_000)}


@app.get("/status/{job}")
def status(job: str) -> dict[str, Any]:
    """Return state and result; Dramatiq does not distinguish a waiting job from an unknown one."""
    try:
        result = add.message().copy(message_id=job).get_result()
    except ResultMissing:
        return {"id": job, "state": "PENDING", "result": None}
    return {"id": job, "state": "SUCCESS", "result": result}
