"""The Celery application of the project."""

from celery import Celery

app = Celery("proj", include=["proj.tasks"])
app.config_from_object("proj.settings")
app.conf.update(task_track_started=True, result_expires=3600)
