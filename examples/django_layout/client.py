"""Sends jobs as a view would: ``python client.py`` waits for the results, ``python client.py --ids`` prints the ids."""

import json
import os
import sys

import django
from celery.result import AsyncResult

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
django.setup()

from library import tasks  # noqa: E402 - Django is to be set up first


def send() -> dict[str, AsyncResult]:
    """Send the jobs; each book is bought before it is lent."""
    order = tasks.buy.si("Emma", copies=2) | tasks.lend.si("Emma", "Ada") | tasks.readers.si()
    return {
        "buy": tasks.buy.delay("Ulysses"),
        "order": order.delay(),
        "lend_in_vain": tasks.lend.delay("Faust", "Eve"),
        "missing": tasks.missing.delay("Faust"),
    }


def outcome(result: AsyncResult) -> str:
    """Wait for a job, and return its result or its error."""
    try:
        return repr(result.get(timeout=60))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sent = send()
    if "--ids" in sys.argv:
        print(json.dumps({name: result.id for name, result in sent.items()}))
    else:
        print(json.dumps({name: outcome(result) for name, result in sent.items()}, indent=2))
