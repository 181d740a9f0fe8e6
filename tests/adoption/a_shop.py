"""A Celery project for tests, with tasks of many kinds."""

from pathlib import Path

ADOPT = "[database]\npeewee_url = sqliteext:///db.sqlite3\n[dispatcher]\nadopt = shop.celery:app\n"
FILES = {
    "shop/__init__.py": "",
    "shop/celery.py": """
from celery import Celery
from celery.schedules import crontab

app = Celery("shop", broker="pyamqp://me:hush@127.0.0.1:1//", backend="redis://:hush@127.0.0.1:1/9")
app.conf.include = ["shop.tasks", "shop.broken"]
app.conf.task_routes = {"shop.tasks.slow": {"queue": "slow"}}
app.conf.accept_content = ["json", "pickle"]
app.conf.enable_utc = False
app.conf.beat_schedule = {
    "nightly": {"task": "shop.tasks.add", "schedule": crontab(hour=3, minute=0), "args": (1, 2)},
    "often": {"task": "other.task", "schedule": 30},
}
""",
    "shop/tasks.py": """
from typing import TYPE_CHECKING

from celery import Task, shared_task

from .celery import app

if TYPE_CHECKING:
    from somewhere import Thing


class Base(Task):
    rate_limit = "10/m"

    def update_state(self, *args, **kwargs):
        return super().update_state(*args, **kwargs)


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task(bind=True, base=Base, acks_late=True, ignore_result=True, priority=7)
def scan(self, names: list[str], thing: "Thing", third=None, *rest: float, **options: str):
    return None


@app.task(serializer="pickle")
def pickled(x):
    return x


@shared_task
def slow(seconds: float = 1.0):
    return seconds


@app.task(name="not a name")
def unnamed():
    return None
""",
    "shop/broken.py": "import math\n\nimport no_such_library\n",
}


def make_shop(folder: Path, config: str = ADOPT) -> None:
    """Write the project and its configuration, unless that is empty, into a folder."""
    (folder / "shop").mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    if config:
        (folder / "config.ini").write_text(config, encoding="utf-8")
