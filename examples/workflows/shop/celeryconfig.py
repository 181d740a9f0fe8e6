"""Celery's settings: queues, routes and periodic tasks."""

import os

from celery.schedules import crontab
from kombu import Exchange, Queue

broker_url = os.environ.get("CELERY_BROKER_URL", "pyamqp://")
result_backend = os.environ.get("CELERY_RESULT_BACKEND", "redis://")
imports = ("shop.images", "shop.mail", "shop.orders")

task_default_queue = "orders"
task_queues = (
    Queue("orders"),
    Queue("images", Exchange("images"), routing_key="images"),
    Queue("mail", Exchange("mail", type="topic"), routing_key="mail.#"),
)
task_routes = {
    "shop.images.*": {"queue": "images"},
    "shop.mail.*": {"queue": "mail", "routing_key": "mail.outgoing"},
}
task_annotations = {"shop.images.develop": {"time_limit": 60}}

beat_schedule = {
    "newsletter": {"task": "shop.mail.newsletter", "schedule": crontab(hour=7, minute=30), "args": ("daily",)},
    "stock": {"task": "shop.orders.count_stock", "schedule": 3600.0},
}
