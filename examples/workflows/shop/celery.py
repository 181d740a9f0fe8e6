"""The Celery application, for ``celery -A shop``; broker and results are Celery's own environment variables.

The modules of the tasks do not import it: ``@shared_task`` serves any application.
"""

from celery import Celery

app = Celery("shop")
app.config_from_object("shop.celeryconfig")
