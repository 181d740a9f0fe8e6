"""Runs ``wrk``, the HTTP load generator, and reads what it counted."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .requesting import Request

INSTALL = "wrk is not installed; it is the client of the measurements (on Debian and Ubuntu: apt-get install wrk)"
MARK = "bench-wrk "
DONE = f"""
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format('{MARK}{{"requests": %d, "microseconds": %d, "refused": %d, "broken": %d, "p50": %f, "p99": %f}}',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""
"""Printed by wrk itself at its end: its usual output rounds, and counts 304 with the answers that are well."""


class WrkError(RuntimeError):
    """wrk is missing, failed, or said something else than was asked for."""


@dataclass(frozen=True)
class Load:
    """What wrk counted: ``refused`` are answers of 400 and above, ``broken`` errors and time-outs of sockets.

    ``requests`` are all answers that came, so ``accepted`` may lack those that were under way at the end: at most
    one for each connection. Latencies are in milliseconds.
    """

    requests: int
    seconds: float
    refused: int
    broken: int
    p50: float
    p99: float

    @property
    def accepted(self) -> int:
        """Answers below 400."""
        return self.requests - self.refused

    @property
    def rate(self) -> float:
        """Accepted requests per second."""
        return self.accepted / self.seconds


def missing() -> str:
    """Why wrk cannot be run; empty when it can."""
    return "" if shutil.which("wrk") else INSTALL


def run(url: str, request: Request, seconds: float, folder: Path, connections: int = 16) -> Load:
    """Load for that time, by one thread; ``folder`` is where its script is written."""
    if missing():
        raise WrkError(INSTALL)
    script = folder / "wrk.lua"
    script.write_text(script_for(request), encoding="utf-8")
    # wrk counts whole seconds.
    whole = max(1, round(seconds))
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{whole}s", "--timeout", "30s", "-s", str(script)]
    # wrk checks its time only between answers, so a server that stands still is given time to answer.
    finished = subprocess.run(
        [*command, f"{url}{request.path}"], capture_output=True, encoding="utf-8", timeout=whole + 60, check=False
    )
    if finished.returncode:
        raise WrkError(f"wrk ended with {finished.returncode}: {finished.stderr or finished.stdout}")
    return read(finished.stdout)


def script_for(request: Request) -> str:
    """The script that has wrk send this request, and print what it counted."""
    lines = [f"wrk.method = {_lua(request.method)}"]
    lines += [f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in request.headers.items()]
    if request.body is not None:
        lines.append(f"wrk.body = {_lua(request.body)}")
    return "\n".join(lines) + "\n" + DONE


def read(output: str) -> Load:
    """What wrk printed at its end; raises ``WrkError`` where it did not."""
    line = next((line for line in output.splitlines() if line.startswith(MARK)), None)
    if line is None:
        raise WrkError(f"wrk did not tell what it counted: {output}")
    told: dict[str, Any] = json.loads(line.removeprefix(MARK))
    return Load(
        requests=told["requests"],
        seconds=told["microseconds"] / 1e6,
        refused=told["refused"],
        broken=told["broken"],
        p50=told["p50"] / 1e3,
        p99=told["p99"] / 1e3,
    )


def _lua(text: str) -> str:
    """A Lua string; JSON's escapes are Lua's, as long as all is ASCII and without control characters."""
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"this cannot be sent by wrk: {text!r}")
    return json.dumps(text)
