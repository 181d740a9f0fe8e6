"""The API."""

from typing import Any

from flask import Flask
from work import add, huey

app = Flask(__name__)


@app.get("/dispatch/add/<int:x>/<int:y>")
def dispatch(x: int, y: int) -> dict[str, str]:
    """Dispatch a job."""
    return {"id": add(x, y).id}


@app.get("/status/<job>")
def status(job: str) -> dict[str, Any]:
    """Return state and result; Huey does not distinguish a waiting job from an unknown one."""
    result = huey.result(job, preserve=True)
    return {"id": job, "state": "PENDING" if result is None else "SUCCESS", "result": result}
