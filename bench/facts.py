"""The machine and the versions, which a reader needs to judge the figures."""

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .servers import Servers
from .systems.system import ROOT, System


def gather(servers: Servers, systems: Iterable[System], command: str) -> dict[str, Any]:
    """Return the facts as JSON values; ``command`` is the command line."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "commit": _output("git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*", "--abbrev=12"),
        "machine": {
            "cpu": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "kernel": platform.release(),
            "load_before": os.getloadavg()[0],
        },
        "servers": servers.versions(),
        "wrk": _output("wrk", "-v"),
        "systems": {system.name: _versions(system) for system in systems},
    }


def _versions(system: System) -> dict[str, Any]:
    found: dict[str, Any] = {"title": system.title, "logs": system.logs, "promises": asdict(system.promises)}
    code = "import platform, sys; from importlib.metadata import version; print(platform.python_version())"
    code += "; [print(version(name)) for name in sys.argv[1:]]"
    if (python := system.environment / "python").exists():
        ran = subprocess.run(
            [python, "-c", code, *system.libraries], capture_output=True, encoding="utf-8", check=False
        )
        found["versions"] = dict(zip(("python", *system.libraries), ran.stdout.split(), strict=False))
    return found


def _processor() -> str:
    with suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def _output(*command: str) -> str:
    """Return the first line that the program prints; empty if it is missing."""
    with suppress(OSError, subprocess.TimeoutExpired):
        ran = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=20, check=False)
        return ran.stdout.partition("\n")[0].strip()
    return ""
