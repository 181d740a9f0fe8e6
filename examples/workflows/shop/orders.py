"""Orders: prices, payment, and the workflows that clients start."""

from celery import chain, chord, group, shared_task

from . import images, mail

PRICES = {"print": 250, "frame": 1800}


@shared_task
def total(items: dict[str, int]) -> int:
    """Return the price of an order in cents."""
    return sum(PRICES[item] * number for item, number in items.items())


@shared_task(bind=True, max_retries=3, default_retry_delay=0.1)
def charge(self, cents, card, slow=0):
    """Charge a card, which the bank may need a few attempts for."""
    if self.request.retries < slow:
        raise self.retry(exc=TimeoutError("the bank is slow"))
    if card == "stolen":
        raise PermissionError("the bank refuses the card")
    return {"paid": cents, "card": card}


@shared_task
def receipt(payment: dict, address: str) -> str:
    """Write a receipt."""
    return f"{payment['paid'] / 100:.2f} EUR, paid by {payment['card']}, to {address}"


@shared_task(acks_late=True)
def count_stock():
    """Count the goods."""
    return {"print": 1000, "frame": 12}


def checkout(items, card, address, slow=0):
    """The chain of an order; its errors apologize to the customer."""
    steps = chain(total.s(items), charge.s(card, slow=slow), receipt.s(address))
    return steps.on_error(mail.apologize.s())


def develop_all(names):
    """A group: each negative becomes a picture."""
    return group(images.develop.s(name) for name in names)


def contact_sheet(title, names):
    """A chord: develop all negatives, then put the pictures on one sheet."""
    return chord(develop_all(names), images.contact_sheet.s(title=title))
