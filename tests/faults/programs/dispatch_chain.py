"""Dispatches a chain of three jobs, and prints their UUIDs as JSON."""

import json

from celery import chain

from pacifica.dispatcher.tasks import CELERY_APP as app

app.registry
double = app.tasks["double"]
last = chain(double.s(1), double.s(), double.s())()
print(json.dumps([last.parent.parent.id, last.parent.id, last.id]))
