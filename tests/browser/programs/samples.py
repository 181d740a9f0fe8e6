"""Tasks of a laboratory, whose jobs the pages show."""

import datetime as dt
import math
import time
from enum import Enum
from pathlib import Path
from typing import Any

from pacifica.dispatcher import progress, task

EVIL = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"


class Method(Enum):
    """The method of a measurement."""

    FAST = "fast"
    EXACT = "exact"


def go_on(name: str) -> bool:
    """Whether a test lets the job end: it makes a file of this name."""
    return Path(name).exists()


@task(name="weigh")
def weigh(sample: str, rounds: int = 3, method: Method = Method.FAST, on: dt.date | None = None) -> list[float]:
    """Weigh a sample several times; returns the masses in grams."""
    mass = 10 + len(sample) / 7
    return [round(mass + 2 * math.exp(-n / 14) * math.cos(n / 2), 3) for n in range(rounds)]  # The balance swings.


@task(name="heat")
def heat(file: str, steps: int = 4) -> str:
    """Heat the oven step by step; each step ends when there is a file of this name and number."""
    for step in range(1, steps):
        progress(step, steps, f"{step * 100} °C")
        while not go_on(f"{file}-{step}"):
            time.sleep(0.02)
    return "hot"


@task(name="calibrate")
def calibrate(device: str) -> None:
    """Compare a device with its reference; fails for each device."""
    raise ValueError(f"the drift of {device} is 0.7 mK, which is more than 0.5 mK")


@task(name="say")
def say(text: str) -> str:
    """Return the text; fails with it if it begins with an exclamation mark."""
    if text.startswith("!"):
        raise RuntimeError(text)
    return text


@task(name="trap")
def trap(value: str = EVIL) -> dict[str, str]:
    """<script>document.title='owned'</script> is only text in a docstring."""
    return {value: value}


@task(name="echo")
def echo(value: Any) -> Any:
    """Return the value."""
    return value
