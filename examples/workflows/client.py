"""Starts jobs and workflows: ``python client.py`` waits for the results, ``python client.py --ids`` prints the ids."""

import json
import sys

from celery.result import AsyncResult

from shop import images, mail, orders


def send() -> dict[str, AsyncResult]:
    """Send the jobs; a workflow's result is that of its last job."""
    pictures = orders.develop_all(["moon", "sun"])()
    return {
        "total": orders.total.delay({"print": 2, "frame": 1}),
        "order": orders.checkout({"print": 4}, "visa", "ada@example.org", slow=2)(),
        "order_unpaid": orders.checkout({"frame": 1}, "stolen", "eve@example.org")(),
        "picture_1": pictures[0],
        "picture_2": pictures[1],
        "contact_sheet": orders.contact_sheet("sky", ["moon", "sun", "stars"])(),
        "contact_sheet_torn": orders.contact_sheet("rain", ["cloud", "torn"])(),
        "album": images.album.delay("sea", ["tide", "wave"]),
        "letter": mail.send.delay("ada@example.org", "Hello", refusals=2),
        "newsletter": mail.newsletter.delay("evening"),
        "stock": orders.count_stock.apply_async(queue="images"),
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
