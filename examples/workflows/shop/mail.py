"""Letters to customers, through a mail server that is sometimes busy."""

from pathlib import Path

from celery import shared_task


class ServerBusy(Exception):
    """The mail server refuses a letter for now."""


@shared_task(
    bind=True,
    autoretry_for=(ServerBusy,),
    retry_backoff=0.05,
    retry_backoff_max=1,
    retry_jitter=False,
    max_retries=5,
    rate_limit="50/s",
)
def send(self, address: str, text: str, *, refusals: int = 0) -> dict:
    """Send a letter; the server refuses it so many times."""
    if self.request.retries < refusals:
        raise ServerBusy(f"refusal {self.request.retries + 1}")
    return {"to": address, "text": text, "queue": self.request.delivery_info["routing_key"]}


@shared_task(expires=3600)
def newsletter(edition):
    """Send the newsletter, unless it is an hour old before it can be sent."""
    return f"{edition} newsletter sent"


@shared_task
def apologize(request, exc, traceback):
    """An error callback: write to the customer that an order has failed."""
    with Path("apologies.log").open("a", encoding="utf-8") as letters:
        letters.write(f"{request.id} {exc}\n")
