"""Sends a job of each task: ``python client.py`` waits for the results, ``python client.py --ids`` prints the ids."""

import json
import sys
from datetime import date

from celery.result import AsyncResult

from proj import tasks


def send() -> dict[str, AsyncResult]:
    """Send the jobs."""
    return {
        "add": tasks.add.delay(2, 3),
        "add_text": tasks.add.delay("2", "3"),
        "scale": tasks.scale.delay([1.0, 2.5], factor=2),
        "download": tasks.download.delay("spectrum.csv", outages=1),
        "download_in_vain": tasks.download.delay("image.tif", outages=9),
        "calibrate": tasks.calibrate.delay(0.5),
        "calibrate_too_far": tasks.calibrate.apply_async([2.5]),
        "scan": tasks.scan.delay(steps=3),
        "price": tasks.price.delay("100.00"),
        "remind": tasks.remind.delay("Ada", date(2027, 1, 1), days=14),
    }


def outcome(result: AsyncResult) -> str:
    """Wait for a job, and return its result or its error."""
    try:
        return repr(result.get(timeout=60))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    tasks.note.delay("the client has started")
    sent = send()
    if "--ids" in sys.argv:
        print(json.dumps({name: result.id for name, result in sent.items()}))
    else:
        print(json.dumps({name: outcome(result) for name, result in sent.items()}, indent=2))
