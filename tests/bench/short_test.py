"""The benchmark works with what needs no other server; no time is judged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.results import Results
from bench.scenes import ALL
from bench.scenes.scene import SHORT

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.usefixtures("wrk")
def test_a_short_run_has_every_figure_and_loses_no_job(tmp_path: Path) -> None:
    scenes = ("peers", "million")
    options = ["--short", "--scenes", ",".join(scenes), "--systems", "pacifica-embedded", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "bench", *options]
    env = os.environ | {"BENCH_PLAIN": sys.prefix}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=250, check=False, env=env)
    assert done.returncode == 0, done.stderr
    results = Results.read(tmp_path / "results.json")
    assert results.not_run == []
    for scene in scenes:
        found = {record.figure: record.value for record in results.records if record.scene == scene}
        shown = {figure.name for table in ALL[scene].tables for figure in table.figures}
        assert shown - found.keys() <= {"cpu_rabbitmq", "cpu_redis", "cpu_postgresql"}
        assert not found.keys() & {"refused", "broken"}
        assert all(value > 0 for name, value in found.items() if name not in {"idle", "locked"})
    found = {record.figure: record.value for record in results.records}
    assert found["accepted"] <= found["finished"] <= found["accepted"] + SHORT.connections
    assert found["cpu_sum"] == pytest.approx(found["cpu_web"] + found["cpu_worker"] + found["cpu_client"])
    assert "| Pacifica Dispatcher (SQLite for all) |" in (tmp_path / "results.md").read_text("utf-8")
