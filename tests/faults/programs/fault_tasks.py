"""Tasks that append a line to `<name>.runs` for each run; some run until the test creates `<name>.go`."""

import asyncio
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import billiard

from pacifica.dispatcher import task


def record_run(name):
    with Path(f"{name}.runs").open("a") as runs:
        runs.write(f"{os.getpid()}\n")


@task(name="note")
def note(name: str) -> str:
    record_run(name)
    return name


@task(name="hold")
def hold(name: str) -> str:
    """Run until the test releases it."""
    record_run(name)
    try:
        while not Path(f"{name}.go").exists():
            time.sleep(0.01)
        return name
    finally:
        record_run(f"{name}-left")


@task(name="stubborn")
def stubborn(name: str) -> str:
    """Ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return hold.run(name)


@task(name="poison")
def poison(how: str) -> Any:
    record_run(how)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "os._exit":
        os._exit(1)
    elif how == "os._exit 0":
        os._exit(0)
    elif how == "sys.exit":
        sys.exit(1)
    elif how == "memory":
        raise MemoryError("all of it")
    elif how == "interrupt":
        raise KeyboardInterrupt
    elif how == "memory in the result":
        return (number + _out_of_memory() for number in range(2))
    elif how == "exit in the result":
        return (sys.exit(number) for number in range(2))
    return None


@task(name="start")
def start(how: str) -> Any:
    """Start processes as docs/tasks.md says, and as it says not to."""
    if how == "billiard":
        with billiard.Pool(1) as pool:
            return pool.map(abs, [-1])
    if how == "multiprocessing":
        return multiprocessing.Pool(1)
    if how == "stdout":
        return subprocess.run(["echo", "hi"], check=True, stdout=sys.stdout)
    return subprocess.run(["echo", "hi"], check=True, capture_output=True, text=True).stdout


def _out_of_memory() -> int:
    raise MemoryError("all of it")


@task(name="fork")
def fork(name: str) -> int:
    """Return the exit status of a process that leaves by ``sys.exit``."""
    record_run(name)
    child = os.fork()
    if child == 0:
        sys.exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@task(name="soft", soft_time_limit=1)
def soft(name: str) -> str:
    record_run(name)
    time.sleep(30)


@task(name="async_soft", soft_time_limit=1)
async def async_soft(name: str) -> str:
    try:
        await asyncio.sleep(30)
    finally:
        record_run(f"{name}-left")


@task(name="async_hard", time_limit=1)
async def async_hard(name: str) -> str:
    await asyncio.sleep(30)


@task(name="async_hold")
async def async_hold(name: str) -> str:
    """Run for long."""
    record_run(name)
    try:
        await asyncio.sleep(30)
    finally:
        await asyncio.sleep(0)
        record_run(f"{name}-left")


@task(name="hard", time_limit=1)
def hard(name: str) -> str:
    record_run(name)
    try:
        time.sleep(30)
    except BaseException:
        time.sleep(30)


@task(name="tidy", soft_time_limit=1)
def tidy(name: str) -> str:
    """Return normally at the soft time limit."""
    from celery.exceptions import SoftTimeLimitExceeded

    try:
        time.sleep(30)
    except SoftTimeLimitExceeded:
        return name


@task(name="backoff", bind=True, autoretry_for=(OSError,), retry_backoff=1, retry_jitter=False, max_retries=5)
def backoff(self, name: str, good_at: int) -> int:
    record_run(name)
    if self.request.retries < good_at:
        raise OSError(f"not yet: {self.request.retries}")
    while not Path(f"{name}.go").exists():
        time.sleep(0.01)
    return self.request.retries


@task(name="insist", bind=True, max_retries=50)
def insist(self, name: str) -> None:
    """Retry each time, once the test has released it."""
    record_run(name)
    while not Path(f"{name}.go").exists():
        time.sleep(0.01)
    raise self.retry(countdown=0)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class MuteExit(BaseException):
    def __str__(self):
        raise RuntimeError("no words")


class Closed(Exception):
    """Its arguments cannot be pickled."""

    def __init__(self, text):
        super().__init__(text, lambda: None)


class TwoFold(Exception):
    """It can be pickled, but not unpickled."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class Nested(Exception):
    def __init__(self):
        inside = []
        for _ in range(100_000):
            inside = [inside]
        super().__init__(inside)


@task(name="raises")
def raises(what: str) -> None:
    if what == "local":

        class Local(Exception):
            pass

        raise Local("of a function")
    make = {
        "mute": Mute,
        "mute exit": MuteExit,
        "closed": lambda: Closed("closed"),
        "twofold": lambda: TwoFold("one", "two"),
        "nested": Nested,
        "large": lambda: ValueError("x" * 30_000_000),
        "nul": lambda: ValueError("a\0b\ud800"),
        "group": lambda: ExceptionGroup("many", [OSError("one"), ValueError("two")]),
    }[what]
    raise make()


class Odd:
    def __reduce__(self):
        raise RuntimeError("not to be pickled")

    def __repr__(self):
        raise RuntimeError("not to be shown")


class OddText(str):
    def __str__(self):
        raise RuntimeError("no words")


def deep():
    inside = []
    for _ in range(100_000):
        inside = [inside]
    return inside


@task(name="returns")
def returns(what: str):
    loop = []
    loop.append(loop)
    return {
        "odd": Odd(),
        "loop": loop,
        "deep": deep(),
        "generator": (n for n in "abc"),
        "lambda": lambda: 1,
        "bytes": b"\xff\xfe",
        "keys": {(1, 2): 3},
        "inf": float("inf"),
        "exception": ValueError("returned"),
    }[what]


@task(name="nap")
def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task(name="echo")
def echo(value: str) -> str:
    return value


@task(name="measure")
def measure(value: str) -> int:
    return len(value)


@task(name="double")
def double(x: int) -> int:
    return 2 * x


@task(name="mixed")
def mixed(name: str, how: str = "") -> str:
    """A short task, some jobs of which wait for the test, or kill their process the first time."""
    if how:
        record_run(name)
    if how == "kill" and not Path(f"{name}.killed").exists():
        Path(f"{name}.killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    while how == "wait" and not Path(f"{name}.go").exists():
        time.sleep(0.01)
    return name


@task(name="limited", rate_limit="10/s")
def limited() -> None:
    """Return at once."""


@task(name="moves", bind=True)
def moves(self, queue: str) -> str:
    """Retry once, to another queue."""
    if not self.request.retries:
        raise self.retry(queue=queue, countdown=0)
    return self.request.delivery_info["routing_key"]
