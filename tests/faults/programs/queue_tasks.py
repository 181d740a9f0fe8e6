"""A task that has a queue of its own, which the environment names."""

import os

from pacifica.dispatcher import task


@task(name="apart", queue=os.environ["TEST_QUEUE"])
def apart(x: int) -> int:
    return x
