"""Celery's settings, for ``app.config_from_object``."""

import os

broker_url = os.environ.get("BROKER_URL", "pyamqp://")
result_backend = os.environ.get("RESULT_BACKEND", "rpc://")

timezone = "Europe/Berlin"
worker_prefetch_multiplier = 1
