"""What a job costs each part: the arithmetic, the page that is made of it, and a short run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench import processes, rounds
from bench.parts import bounds, each, parts_of
from bench.profile import main, write
from bench.results import NotRun, Record, Results
from bench.scenes.scene import Round, Scene, Sizes
from bench.scenes.shares import Shares
from bench.systems import ALL

from .report_test import FACTS

ROOT = Path(__file__).parents[2]
COSTS = {"web": 0.65, "worker": 0.75, "broker": 0.2, "client": 0.05, "main": 0.26, "machine": 2.0}
PARTS = ["web", "worker", "broker", "client"]


def test_seconds_become_milliseconds_of_each_job() -> None:
    before = {"web": 1.0, "worker": 2.0}
    assert each(before, {"web": 2.3, "worker": 3.5, "broker": 9.0}, 2000) == pytest.approx(
        {"web": 0.65, "worker": 0.75}
    )


def test_the_sum_of_the_parts_bounds_the_rate() -> None:
    found = bounds(COSTS, PARTS, rate=909, cores=2)
    assert found == pytest.approx({"sum": 1.65, "best": 2000 / 1.65, "busy": 909 * 1.65 / 20, "beside": 0.35})


def test_where_a_part_is_not_known_there_is_no_sum() -> None:
    assert bounds(COSTS, [*PARTS, "store"], rate=909, cores=2) == {}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("pacifica", ["web", "worker", "broker", "client"]),
        ("fastapi-dramatiq", ["web", "worker", "broker", "store", "client"]),
        ("pacifica-embedded", ["web", "worker", "client"]),
    ],
)
def test_a_system_has_a_part_of_each_server_that_it_needs(name: str, parts: list[str]) -> None:
    assert parts_of(ALL[name]) == parts


@pytest.mark.slow
def test_a_process_counts_with_all_that_descend_from_it() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        assert started.pid in processes.family([os.getpid()])
        assert processes.cpu(processes.family([started.pid, started.pid])) >= 0.2
        started.communicate(b"\n")


def test_a_server_is_found_by_the_name_of_its_program() -> None:
    assert os.getpid() in processes.named(Path("/proc/self/comm").read_text("utf-8").strip())


def test_the_page_tells_parts_and_bounds_and_what_was_left_out(tmp_path: Path) -> None:
    figures = {**COSTS, **bounds(COSTS, PARTS, rate=909, cores=2), "done": 909}
    records = [Record("shares", "pacifica", name, 1, value) for name, value in figures.items()]
    beneath = [Record("beneath", "page", "web", 1, 0.35), Record("beneath", "page", "rate", 1, 2600)]
    left_out = [NotRun("shares", "flower", 1, "bench/.venv is not there (make bench installs it)")]
    page = write(Results(FACTS, [*records, *beneath], left_out), tmp_path).read_text("utf-8")
    title = "Pacifica Dispatcher (RabbitMQ, SQLite)"
    assert f"| {title} | 0.650 | 0.750 | 0.260 | 0.200 | – | 0.050 | 1.650 | 0.350 |" in page
    assert f"| {title} | 909 | 1,212 | 75 |" in page
    assert "one process | 0.350 | – | – | – | – | 2,600 |" in page
    assert "- Flower 2 (RabbitMQ, Redis results): not run in round 1: bench/.venv is not there" in page
    assert "[profile.json](profile.json)" in page
    assert [file.name for file in tmp_path.iterdir()] == ["profile.md"]


class Interrupted(Shares):
    """Somebody presses Ctrl-C in its second round."""

    def measure(self, this: Round) -> None:
        if this.number == 2:
            raise KeyboardInterrupt
        this.record("pacifica", done=1000)


@pytest.mark.slow
def test_what_was_measured_before_ctrl_c_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    scenes: list[Scene] = [Interrupted()]
    file = tmp_path / "profile.json"
    status, results = rounds.run(scenes, ["pacifica-embedded"], Sizes(rounds=3), file, "python -m bench.profile")
    assert status == 130
    assert Results.read(file) == results
    assert results.records == [Record("shares", "pacifica", "done", 1, 1000)]


def test_an_unknown_system_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["-P", "pacifica,nope"])
    assert "unknown: nope; there are flower" in capsys.readouterr().err


@pytest.mark.usefixtures("wrk")
def test_a_short_run_tells_what_a_job_costs_each_part(tmp_path: Path) -> None:
    options = ["-P", "pacifica-embedded", "--rounds", "1", "--seconds", "1", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "bench.profile", *options]
    env = os.environ | {"BENCH_PLAIN": sys.prefix}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "profile.json").read_text("utf-8"))
    found = {(one["row"], one["figure"]): one["value"] for one in told["records"]}
    shown = {"web", "worker", "main", "client", "sum", "best", "busy", "done"}
    assert {("pacifica-embedded", figure) for figure in shown} | {("page", "web"), ("page", "client")} <= found.keys()
    assert found["pacifica-embedded", "main"] <= found["pacifica-embedded", "worker"]
    total = sum(found["pacifica-embedded", part] for part in ("web", "worker", "client"))
    assert found["pacifica-embedded", "sum"] == pytest.approx(total)
    assert all(found["pacifica-embedded", part] > 0 for part in ("web", "worker", "client"))
    assert "| Pacifica Dispatcher, embedded (SQLite for all) |" in (tmp_path / "profile.md").read_text("utf-8")
