"""Tasks that a user of the service could have written."""

import os
import signal
import time

from pacifica.dispatcher import progress, task


@task
def greet(name: str, *, loud: bool = False) -> str:
    """A greeting."""
    return f"Hello, {name.upper() if loud else name}!"


@task(name="flaky", bind=True, autoretry_for=(OSError,), retry_backoff=False, default_retry_delay=0, max_retries=2)
def flaky(self, good_at: int) -> int:
    if self.request.retries < good_at:
        raise OSError(f"not yet: {self.request.retries}")
    return self.request.retries


@task(name="shifted", bind=True)
def shifted(self, n: int) -> int:
    """Retry with other arguments."""
    if n < 3:
        raise self.retry(args=[n + 1], countdown=0)
    return n


@task(name="leave")
def leave() -> None:
    raise SystemExit(3)


@task(name="hungry")
def hungry() -> None:
    raise MemoryError("all of it")


@task(name="ignored")
def ignored() -> None:
    from celery.exceptions import Ignore

    raise Ignore


@task(name="die")
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task(name="soft", soft_time_limit=1)
def soft() -> None:
    time.sleep(30)


@task(name="hard", time_limit=1)
def hard() -> None:
    time.sleep(30)


@task(name="unstorable")
def unstorable(kind: str):
    return {"nan": float("nan"), "object": object(), "digits": 10**5000, "large": "x" * 2_000_000}[kind]


@task(name="echo")
def echo(value):
    return value


@task(name="measure")
def measure(samples: int) -> int:
    """Report the progress after each sample."""
    for sample in range(samples):
        progress(sample, samples, f"sample {sample}")
    progress(samples, samples, "all measured")
    return samples


@task(name="total")
def total(values: list[int]) -> int:
    return sum(values)


@task(name="become", bind=True)
def become(self, kind: str):
    """Replace itself by a workflow of built-in tasks."""
    from celery import group

    add, fail = self.app.tasks["add"], self.app.tasks["fail"]
    member = group(self.s("one"), add.s(5, 5)) | total.s()
    pair = group(add.s(1, 1), add.s(2, 2))
    workflows = {
        "one": add.s(1, 1),
        "member": member,
        "group": pair,
        "chord": pair | total.s(),
        "chain": add.s(1, 1) | group(add.s(1), add.s(2)),
        "failing": fail.si() | add.s(1),
    }
    return self.replace(workflows[kind])
