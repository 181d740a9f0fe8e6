"""The tasks of the app; ``autodiscover_tasks()`` finds this module."""

import logging

from celery import shared_task
from django.db import transaction

from .models import Book

logger = logging.getLogger(__name__)


@shared_task
def buy(title: str, copies: int = 1) -> dict[str, int]:
    """Put a book into the library, if it is not there."""
    book, _ = Book.objects.get_or_create(title=title)
    logger.info("bought %s", book)
    return {"copies": copies, "books": Book.objects.filter(title=title).count()}


@shared_task(bind=True, autoretry_for=(Book.DoesNotExist,), max_retries=1, default_retry_delay=0.1)
def lend(self, title: str, reader: str) -> str:
    """Lend a book, and have the catalogue updated when the change is committed."""
    with transaction.atomic():
        book = Book.objects.select_for_update().get(title=title)
        book.reader = reader
        book.save()
        index.delay_on_commit(book.pk)
    return str(book)


@shared_task(ignore_result=True)
def index(pk):
    """Update the catalogue."""
    logger.info("indexed %s", Book.objects.get(pk=pk))


@shared_task
def readers() -> list:
    """Return the readers who have a book."""
    return list(Book.objects.exclude(reader="").order_by("title").values("title", "reader"))


@shared_task(soft_time_limit=60)
def remind_readers(text="Please bring it back."):
    """Write to all readers."""
    return [f"{book.reader}: {book.title}. {text}" for book in Book.objects.exclude(reader="").order_by("title")]


@shared_task
def missing(title):
    """Fail as Django does if there is no such book."""
    return Book.objects.get(title=title).reader
