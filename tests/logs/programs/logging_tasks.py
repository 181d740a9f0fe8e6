"""Tasks that log in several ways, dispatch another task, or are retried."""

import logging

from celery.utils.log import get_task_logger

from pacifica.dispatcher import task


@task(name="speak", bind=True)
def speak(self, word: str) -> str:
    """Log the word in each of the three ways a task can log."""
    logging.getLogger("lab").info("spoken %s", word, extra={"sample": 5})
    get_task_logger("lab").warning("repeated %s", word)
    print("printed", 1, word)  # A worker turns this into a log line.
    print("unfinished", end="")
    return self.request.id


@task(name="chain", bind=True)
def chain(self) -> str:
    """Dispatch another task."""
    return speak.delay("onward").id


@task(name="again", bind=True, max_retries=1)
def again(self) -> int:
    """Succeed at the second attempt."""
    if not self.request.retries:
        raise self.retry(countdown=0, exc=OSError("not yet"))
    return 1
