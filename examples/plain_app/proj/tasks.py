"""The tasks of the project: with and without annotations, and with Celery's usual options."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from celery import Task

from .celery import app


class Journalled(Task):
    """Writes a line for each failure into ``failures.log``."""

    abstract = True

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        with Path("failures.log").open("a", encoding="utf-8") as journal:
            journal.write(f"{task_id} {self.name}{tuple(args)}: {exc}\n")


@app.task
def add(x, y):
    """Add two values of any kind."""
    return x + y


@app.task
def scale(values: list[float], factor: float = 1.0) -> list[float]:
    """Multiply each value."""
    return [factor * value for value in values]


@app.task(bind=True, autoretry_for=(ConnectionError,), default_retry_delay=0.1, max_retries=2)
def download(self, name: str, outages: int = 0) -> str:
    """Fetch a file from an instrument, which does not answer the first ``outages`` times."""
    if self.request.retries < outages:
        raise ConnectionError(f"{name}: the instrument does not answer")
    return f"{name}, attempt {self.request.retries + 1}"


@app.task(base=Journalled)
def calibrate(offset: float) -> float:
    """Return the correction for an offset, which must not be too large."""
    if abs(offset) > 1:
        raise ValueError(f"offset {offset} is too large")
    return -offset


@app.task(bind=True)
def scan(self, steps: int) -> dict[str, int]:
    """Take a measurement at each step, and report how many are done."""
    for step in range(steps):
        self.update_state(state="SCANNING", meta={"current": step, "total": steps})
    return {"steps": steps}


@app.task(ignore_result=True)
def note(text: str) -> Path:
    """Append a line to ``notes.log``; no one reads the result."""
    path = Path("notes.log")
    with path.open("a", encoding="utf-8") as journal:
        journal.write(f"{text}\n")
    return path


@app.task(name="billing.price")
def price(net: str, tax: str = "0.19"):
    """Return a price with tax. The result is no JSON, and Celery's serializer keeps its type."""
    return Decimal(net) * (1 + Decimal(tax))


@app.task
def remind(person: str, day: date, *, days: int = 7) -> str:
    """Return a reminder; Python callers pass the day as a ``date``."""
    return f"{person}: until {day + timedelta(days)}"
