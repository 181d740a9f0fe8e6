"""Loads with many paths, one after the other, where ``wrk.run`` has one."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import wrk

SCRIPT = """
local paths = {{}}
for line in io.lines({file}) do paths[#paths + 1] = line end
local at = 0
function request()
  at = at % #paths + 1
  return wrk.format(nil, paths[at])
end
"""


def rate(url: str, paths: Sequence[str], seconds: float, folder: Path, connections: int = 16) -> float:
    """Answers per second of GET; raises ``AssertionError`` where any was refused."""
    (folder / "paths.txt").write_text("\n".join(paths) + "\n", encoding="ascii")
    script = folder / "many.lua"
    script.write_text(SCRIPT.format(file=f"'{folder / 'paths.txt'}'") + wrk.DONE, encoding="ascii")
    whole = max(1, round(seconds))
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{whole}s", "--timeout", "30s", "-s", str(script), url]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=whole + 60, check=False)
    if ran.returncode:
        raise wrk.WrkError(f"wrk ended with {ran.returncode}: {ran.stderr or ran.stdout}")
    load = wrk.read(ran.stdout)
    assert not load.refused, f"{load.refused} of {load.requests} requests were refused, such as {paths[0]}"
    return load.rate
