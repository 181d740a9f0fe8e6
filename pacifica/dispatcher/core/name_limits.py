"""The longest names and ids: what the columns of every database hold, so that each is refused where it comes in."""

import re

MAX_NAME = 191
"""The most characters of a name in an indexed column: of a task, queue, label, caller, token or worker."""
MAX_WORKER = MAX_NAME - len(".celery.pidbox")
"""The most characters of a worker's name, from which Celery makes the name of a queue."""
TASK_NAME = r"[\w.:@+~-]"
_TASK_NAME = re.compile(rf"{TASK_NAME}+")


def task_name_fault(name: str) -> str:
    """Why a task cannot have this name; empty if it can."""
    if len(name) > MAX_NAME:
        return f"its name has {len(name)} characters; at most {MAX_NAME} are allowed. {_SET}"
    if not _TASK_NAME.fullmatch(name) or not name.strip("."):
        return f"its name {name!r} may only have letters, digits and . _ : @ + ~ -, and not only dots. {_SET}"
    return ""


_SET = "Set another one with @task(name=...)."
