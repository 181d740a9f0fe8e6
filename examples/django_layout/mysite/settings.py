"""Django's settings; the names that begin with CELERY are Celery's."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "only-for-this-example"
DEBUG = False
INSTALLED_APPS = ["library"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "site.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "Europe/Berlin"
USE_TZ = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"library": {"handlers": ["console"], "level": "INFO"}},
}

CELERY_BROKER_URL = os.environ.get("MYSITE_BROKER", "pyamqp://")
CELERY_RESULT_BACKEND = os.environ.get("MYSITE_RESULTS", "rpc://")
CELERY_TASK_DEFAULT_QUEUE = "mysite"
CELERY_TASK_TIME_LIMIT = 300
CELERY_TASK_ROUTES = {"library.tasks.remind_readers": {"queue": "mysite-slow"}}
CELERY_TIMEZONE = TIME_ZONE
