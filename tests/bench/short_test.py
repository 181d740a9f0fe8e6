"""The measurements work, with what needs nothing beside; no time is judged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.results import Results
from bench.scenes import ALL
from bench.scenes.scene import SHORT

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("wrk")
def test_every_figure_is_there_and_no_job_is_lost(tmp_path: Path) -> None:
    options = ["--short", "--scenes", "peers", "--systems", "pacifica-embedded", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "bench", *options]
    env = os.environ | {"BENCH_PLAIN": sys.prefix}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=150, check=False, env=env)
    assert done.returncode == 0, done.stderr
    results = Results.read(tmp_path / "results.json")
    assert results.not_run == []
    found = {record.figure: record.value for record in results.records}
    shown = {figure.name for table in ALL["peers"].tables for figure in table.figures}
    assert shown <= found.keys()
    assert not found.keys() & {"refused", "broken"}
    assert all(value > 0 for value in found.values())
    assert found["accepted"] <= found["finished"] <= found["accepted"] + SHORT.connections
    assert "| Pacifica Dispatcher, embedded (SQLite for all) |" in (tmp_path / "results.md").read_text("utf-8")
