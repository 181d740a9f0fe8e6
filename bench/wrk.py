"""Runs ``wrk``, the HTTP load generator, and reads its figures."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .requesting import Request

MARK = "bench-wrk "
DONE = Path(__file__).parent / "wrk_done.lua"
"""Prints the figures as JSON: wrk's usual output rounds them, and counts 304 as a success."""


class WrkError(RuntimeError):
    """wrk is missing, has failed, or has printed something unexpected."""


@dataclass(frozen=True)
class Load:
    """The counts of wrk: ``refused`` are answers of 400 and above, ``broken`` are errors and time-outs of sockets.

    ``requests`` are the answers that arrived; at the end, one per connection may still be on its way.
    """

    requests: int
    seconds: float
    refused: int
    broken: int

    @property
    def accepted(self) -> int:
        """Answers below 400."""
        return self.requests - self.refused

    @property
    def rate(self) -> float:
        """Accepted requests per second."""
        return self.accepted / self.seconds


def missing() -> str:
    """Return why wrk cannot be run; empty if it can."""
    return "" if shutil.which("wrk") else "wrk is not installed (on Debian and Ubuntu: apt-get install wrk)"


def run(
    url: str, request: Request, seconds: float, folder: Path, connections: int = 16, paths: Sequence[str] = ()
) -> Load:
    """Send the request, or each of the ``paths`` in turn, for that time from one thread; ``folder`` gets the script."""
    if reason := missing():
        raise WrkError(reason)
    script = folder / "wrk.lua"
    script.write_text(script_for(request, paths), encoding="utf-8")
    # wrk counts whole seconds.
    whole = max(1, round(seconds))
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{whole}s", "--timeout", "30s", "-s", str(script)]
    # wrk checks its time only between answers, so a server that is stuck has time to answer.
    ran = subprocess.run(
        [*command, f"{url}{request.path}"], capture_output=True, encoding="utf-8", timeout=whole + 60, check=False
    )
    if ran.returncode:
        raise WrkError(f"wrk ended with {ran.returncode}: {ran.stderr or ran.stdout}")
    return read(ran.stdout)


def script_for(request: Request, paths: Sequence[str] = ()) -> str:
    """Return the Lua script that sends this request, or each of the paths in turn, and prints the counts."""
    lines = [f"wrk.method = {_lua(request.method)}"]
    lines += [f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in request.headers.items()]
    if request.body is not None:
        lines.append(f"wrk.body = {_lua(request.body)}")
    if paths:
        lines.append(f"local paths, at = {{{', '.join(map(_lua, paths))}}}, 0")
        lines.append("function request() at = at % #paths + 1; return wrk.format(nil, paths[at]) end")
    return "\n".join(lines) + "\n" + DONE.read_text(encoding="utf-8")


def read(output: str) -> Load:
    """Return the counts that wrk printed; raises ``WrkError`` if they are missing."""
    line = next((line for line in output.splitlines() if line.startswith(MARK)), None)
    if line is None:
        raise WrkError(f"wrk did not print its counts: {output}")
    found: dict[str, Any] = json.loads(line.removeprefix(MARK))
    return Load(found["requests"], found["microseconds"] / 1e6, found["refused"], found["broken"])


def _lua(text: str) -> str:
    """Return a Lua string; JSON's escapes are Lua's for ASCII text without control characters."""
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"wrk cannot send this: {text!r}")
    return json.dumps(text)
