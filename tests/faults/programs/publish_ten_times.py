"""Publishes ten messages for one job; its UUID and its task are the arguments."""

import sys

from pacifica.dispatcher.core.job import OutboxEntry
from pacifica.dispatcher.tasks import CELERY_APP as app

app.registry
app.container.publisher.publish([OutboxEntry(sys.argv[1], sys.argv[2])] * 10)
