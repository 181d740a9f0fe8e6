"""The API."""

import os
from typing import Any

from flask import Flask, abort
from redis import Redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from work import add

app = Flask(__name__)
redis = Redis.from_url(os.environ["BENCH_REDIS_URL"] + "/0")
queue = Queue(connection=redis)


@app.get("/dispatch/add/<int:x>/<int:y>")
def dispatch(x: int, y: int) -> dict[str, str]:
    """Dispatch a job."""
    return {"id": queue.enqueue(add, x, y).id}


@app.get("/run/add/<int:x>/<int:y>")
def run(x: int, y: int) -> dict[str, Any]:
    """Dispatch a job and wait for its result."""
    job = queue.enqueue(add, x, y)
    result = job.latest_result(timeout=10)
    return {"id": job.id, "state": "finished", "result": result and result.return_value}


@app.get("/status/<job>")
def status(job: str) -> dict[str, Any]:
    """Return state and result."""
    try:
        found = Job.fetch(job, connection=redis)
    except NoSuchJobError:
        abort(404)
    state = found.get_status(refresh=False)
    return {"id": job, "state": state, "result": found.return_value() if state == "finished" else None}
