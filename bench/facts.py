"""What a reader needs to know of the machine and the versions, to judge the figures."""

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .servers import Servers
from .systems.system import System

ASK = """
import sys
from importlib.metadata import version
print(sys.version.split()[0])
for name in sys.argv[1:]:
    print(version(name))
"""


def gather(servers: Servers, systems: Iterable[System], command: str) -> dict[str, Any]:
    """All of it, as values that JSON has; ``command`` is what was given."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "commit": _commit(),
        "machine": {
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "kernel": platform.release(),
            "load_before": os.getloadavg()[0],
        },
        "servers": servers.versions(),
        "wrk": _first_line(["wrk", "-v"]),
        "harness": {"python": platform.python_version(), **_own("psycopg", "redis", "kombu")},
        "systems": {system.name: _of(system) for system in systems},
    }


def _of(system: System) -> dict[str, Any]:
    told: dict[str, Any] = {"title": system.title, "logs": system.logs}
    python = system.environment / "python"
    if python.exists():
        command = [str(python), "-c", ASK, *system.libraries]
        lines = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False).stdout.split()
        told["versions"] = dict(zip(("python", *system.libraries), lines, strict=False))
    return told


def _own(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _commit() -> str:
    """Of the checkout, with a plus where it has changes; empty outside of one."""
    root = Path(__file__).parent.parent
    named = _first_line(["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"])
    changed = named and _first_line(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    return f"{named}+" if changed else named


def _cpu() -> str:
    with suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def _first_line(command: list[str]) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=20, check=False)
        return (
            (done.stdout or done.stderr).partition("\n")[0].strip()
            if command[0] == "wrk" or not done.returncode
            else ""
        )
    return ""
