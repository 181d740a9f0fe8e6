"""Schemathesis against a web server and a worker: ``python -m tests.fuzz.fuzz``, or ``make fuzz``.

It runs twice: without a token, and with a token against a server that requires one.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.tokens import TokenStore

from ..processes import Processes, Running

ROOT = Path(__file__).parent.parent.parent
CONFIG = """
[dispatcher]
tasks = fuzz_tasks
wait_limit = 0.01
batch_limit = 20
dispatch_synchronous = normal
[celery]
task_soft_time_limit = 0.9
[auth]
anonymous = {anonymous}
"""

TASKS = Path(__file__).parent / "programs" / "fuzz_tasks.py"


@dataclass(frozen=True)
class Run:
    """The report of schemathesis, and the statuses of the answers by operation; ``output`` is its text."""

    report: Mapping[str, Any]
    answers: Mapping[str, Counter[int]]
    status: int
    output: str

    @property
    def untested(self) -> list[str]:
        """The operations that were only answered with errors."""
        accepted = {name for name, seen in self.answers.items() if any(status < 400 for status in seen)}
        return sorted(set(self.answers) - accepted)


@contextmanager
def service(folder: Path, *, anonymous: str = "loopback") -> Iterator[tuple[Running, str]]:
    """A web server with a worker, and a token with the scope ``admin``."""
    with Processes(folder, {"BROKER_URL": "database://"}) as processes:
        processes.add_module(TASKS)
        processes.write_config(CONFIG.format(anonymous=anonymous))
        web = processes.start_web()
        processes.start_worker(concurrency=1)
        with closing(Database(f"sqliteext:///{folder}/db.sqlite3")) as database:
            token, _ = Tokens(TokenStore(database)).create("fuzz", ["admin"])
        yield web, token


def ask(url: str, folder: Path, *options: str, token: str = "", timeout: float = 150) -> Run:
    """Run schemathesis with these options; its reports go into the folder. It is killed after ``timeout`` seconds."""
    reports = {kind: folder / f"report.{kind}" for kind in ("json", "ndjson")}
    targets = [part for kind, path in reports.items() for part in (f"--report-{kind}-path", str(path))]
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(_config(folder, token)), "run"]
    command += [*_document(url, folder, token), "--checks", "all", "--no-color", *targets, *options]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(), timeout=timeout, capture_output=True, encoding="utf-8", check=False
    )
    output = done.stdout + done.stderr
    if not all(path.exists() for path in reports.values()):
        raise RuntimeError(f"schemathesis did not run:\n{output}")
    report = json.loads(reports["json"].read_text(encoding="utf-8"))
    return Run(report, dict(answers(reports["ndjson"])), done.returncode, output)


def _config(folder: Path, token: str) -> Path:
    """Write the project's configuration with the token as ``bearer``, and return its path."""
    path = folder / "schemathesis.toml"
    text = (ROOT / "schemathesis.toml").read_text(encoding="utf-8")
    path.write_text(f'{text}\n[auth.openapi.bearer]\nbearer = "{token}"\n' if token else text, encoding="utf-8")
    return path


def _document(url: str, folder: Path, token: str) -> list[str]:
    """Return the options for the document: a file, as schemathesis does not test an operation that it loads from."""
    path = folder / "openapi.json"
    known = {"Authorization": f"Bearer {token}"} if token else {}
    path.write_text(requests.get(f"{url}/openapi.json", headers=known, timeout=30).text, encoding="utf-8")
    return [str(path), "--url", url]


def _environment() -> dict[str, str]:
    """Return our environment, with the project importable and without settings of schemathesis."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("SCHEMATHESIS_")}
    return {**outside, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}


def answers(events: Path) -> Mapping[str, Counter[int]]:
    """Return how often each operation was answered with each status."""
    found: dict[str, Counter[int]] = {}
    with events.open(encoding="utf-8") as lines:
        recorders = (json.loads(line).get("ScenarioFinished", {}).get("recorder") for line in lines)
        for recorder in filter(None, recorders):
            for identity, case in recorder.get("cases", {}).items():
                interaction = recorder.get("interactions", {}).get(identity) or {}
                name = f"{case['value']['method']} {case['value']['path']}"
                if status := (interaction.get("response") or {}).get("status_code"):
                    found.setdefault(name, Counter())[status] += 1
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Run for some minutes, first without a token and then with one; return 1 if there are findings."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--seed", type=int, default=random.randrange(2**31))
    chosen = options.parse_args(given)
    command = f"make fuzz MINUTES={chosen.minutes:g} SEED={chosen.seed}"
    print_text(command)
    found = [run_once(kind, chosen.seed, max(1, int(chosen.minutes * 30))) for kind in ("loopback", "none")]
    print_text(f"{'There are findings' if any(found) else 'Nothing was found'}. To repeat the run: {command}")
    return int(any(found))


def print_text(text: str) -> None:
    """Print text at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run_once(anonymous: str, seed: int, seconds: int) -> bool:
    """Run for so many seconds, print the output, and return whether there are findings."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name, service(Path(name), anonymous=anonymous) as (web, token):
        sent = token if anonymous == "none" else ""
        limits = ("--seed", str(seed), "--max-time", str(seconds))
        run = ask(web.url, Path(name), *limits, token=sent, timeout=seconds + 300)
    print_text(run.output)
    return run.status != 0


if __name__ == "__main__":
    sys.exit(main())
