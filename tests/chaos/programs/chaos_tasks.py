"""The task that the clients dispatch; each run appends a line to `runs`."""

import os
import time

from pacifica.dispatcher import task


@task(name="work", bind=True, autoretry_for=(OSError,), default_retry_delay=0, retry_backoff=False, max_retries=100)
def work(self, token: str, n: int, seconds: float = 0.0, failures: int = 0) -> int:
    """Return twice ``n``, after some seconds and some failures."""
    runs = os.open("runs", os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(runs, f"{token}\n".encode())
    os.close(runs)
    time.sleep(seconds)
    if self.request.retries < failures:
        raise OSError(f"failure {self.request.retries}")
    return 2 * n
