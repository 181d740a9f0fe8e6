"""Schemathesis against a web server and a worker of our own: ``python -m tests.fuzz.fuzz --minutes 10``, or ``make fuzz``.

It asks twice: as anybody, and with a token of a server that lets in nobody without one.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.tokens import TokenStore
from pacifica.dispatcher.tokens import Tokens

from ..processes import Processes, Running

ROOT = Path(__file__).parent.parent.parent
CONFIG = """
[dispatcher]
tasks = lab
wait_limit = 0.01
batch_limit = 20
[celery]
worker_hijack_root_logger = true
task_soft_time_limit = 1
[auth]
anonymous = {anonymous}
"""
LAB = '''
"""Tasks with each kind of parameter."""
from typing import Literal

from pacifica.dispatcher import progress, task


@task
def greet(name: str, *, loud: bool = False) -> str:
    """A greeting."""
    return f"Hello, {name.upper() if loud else name}!"


@task(name="measure")
def measure(samples: int) -> int:
    """Says after each sample how far it is."""
    for sample in range(min(samples, 5)):
        progress(sample, samples, f"sample {sample}")
    return samples


@task(name="echo")
def echo(value, *more: int, **named: str):
    """What it was given."""
    return [value, list(more), named]


@task(name="mix")
def mix(first: list[int], /, kind: Literal["a", "b"] = "a", *, flags: dict[str, bool | None] | None = None) -> int:
    """How many there are."""
    return len(first)
'''


@dataclass(frozen=True)
class Run:
    """What schemathesis found, and what it has asked: its report, and all of its output."""

    report: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    status: int
    output: str


@contextmanager
def service(folder: Path, *, anonymous: str = "loopback") -> Iterator[tuple[Running, str]]:
    """A web server with a worker, and a token that may do everything."""
    with Processes(folder, {"BROKER_URL": "database://"}) as processes:
        (folder / "lab.py").write_text(LAB, encoding="utf-8")
        processes.write_config(CONFIG.format(anonymous=anonymous))
        web = processes.start_web()
        processes.start_worker()
        with closing(Database(f"sqliteext:///{folder}/db.sqlite3")) as database:
            token, _ = Tokens(TokenStore(database)).create("fuzz", ["admin"])
        yield web, token


def ask(folder: Path, url: str, token: str | None, *, seed: int, examples: int, seconds: int | None = None) -> Run:
    """One run of schemathesis; with ``seconds`` it goes on as long, else until each operation had its examples."""
    reports = {kind: folder / f"report.{kind}" for kind in ("json", "ndjson")}
    told = [part for kind, path in reports.items() for part in (f"--report-{kind}-path", str(path))]
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "schemathesis.toml")]
    command += ["run", f"{url}/openapi.json", "--checks", "all", "--seed", str(seed), "--max-examples", str(examples)]
    command += [*told, "--no-color", *(["--max-time", str(seconds)] if seconds else [])]
    command += ["-H", f"Authorization: Bearer {token}"] if token else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    lines = reports["ndjson"].read_text(encoding="utf-8").splitlines()
    return Run(
        report=json.loads(reports["json"].read_text(encoding="utf-8")),
        events=[json.loads(line) for line in lines],
        status=done.returncode,
        output=done.stdout + done.stderr,
    )
