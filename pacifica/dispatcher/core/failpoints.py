"""Named points at which a test can kill this process; without the environment variable they do nothing.

``DISPATCHER_FAILPOINTS=before-finish`` in the environment of a process arms a point, and
``before-finish@/path`` arms it while that file exists. The file is removed first, so only one process is killed.
"""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "DISPATCHER_FAILPOINTS"
POINTS = ("after-commit", "after-publish", "before-finish", "before-turn", "after-insert", "after-finish")

_armed: dict[str, Path | None] = {}


def arm(environ: Mapping[str, str]) -> None:
    """Arm the points that the environment names; raises ``ValueError`` for an unknown one."""
    for entry in filter(None, environ.get(VARIABLE, "").split(",")):
        point, _, once = entry.partition("@")
        if point not in POINTS:
            raise ValueError(f"{VARIABLE} names {point!r}; the points are {', '.join(POINTS)}")
        _armed[point] = Path(once) if once else None


def reach(point: str) -> None:
    """Kill this process with SIGKILL if the point is armed."""
    if point not in _armed:
        return
    once = _armed[point]
    if once is not None:
        try:
            once.unlink()
        except FileNotFoundError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
