"""The API."""

from typing import Any

from dbos import DBOSClient
from fastapi import FastAPI
from work import QUEUE, URL

app = FastAPI()
client = DBOSClient(system_database_url=URL, system_database_pool_size=20)


@app.get("/dispatch/add/{x}/{y}")
def dispatch(x: int, y: int) -> dict[str, str]:
    """Dispatch a job."""
    return {"id": client.enqueue({"queue_name": QUEUE, "workflow_name": "add"}, x, y).get_workflow_id()}


@app.get("/status/{job}")
def status(job: str) -> dict[str, Any]:
    """Return state and result."""
    found = client.retrieve_workflow(job).get_status()
    return {"id": job, "state": found.status, "result": found.output}
