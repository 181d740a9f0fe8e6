"""Work on pictures; a worker that dies has not done it, so the message is acknowledged late."""

from celery import chord, shared_task


@shared_task(acks_late=True, reject_on_worker_lost=True)
def develop(name: str, width: int = 640) -> str:
    """Make a picture of a negative."""
    if name == "torn":
        raise ValueError("the negative is torn")
    return f"{name}@{width}"


@shared_task(acks_late=True)
def contact_sheet(pictures, title="untitled"):
    """Put pictures on one sheet."""
    return {"title": title, "pictures": sorted(pictures)}


@shared_task(bind=True)
def album(self, title: str, names: list[str]):
    """Make a contact sheet of negatives: the task goes on as a chord, and has its result."""
    raise self.replace(chord([develop.s(name, 100) for name in names], contact_sheet.s(title=title)))
