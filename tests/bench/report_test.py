"""The report is made from the JSON alone."""

import signal
from pathlib import Path

import pytest

from bench.__main__ import main, run
from bench.report import text
from bench.results import NotRun, Record, Results
from bench.scenes.peers import Peers
from bench.scenes.scene import Round, Sizes

FACTS = {
    "command": "python -m bench",
    "date": "2026-11-24T15:00:00+00:00",
    "commit": "0123456789ab",
    "machine": {"cpu": "a processor", "cores": 2, "memory_gib": 24.0, "kernel": "6.1"},
    "servers": {"RabbitMQ": "3.10.8"},
    "wrk": "wrk 4.1.0",
    "systems": {
        "pacifica-embedded": {
            "title": "Pacifica Dispatcher",
            "logs": "a line | a request",
            "promises": {"record": "on disk", "killed": "runs again", "history": "all", "arguments": "types"},
            "versions": {"cherrypy": "18.10.0"},
        }
    },
}


@pytest.fixture
def results() -> Results:
    """Two rounds; Flower failed in the second."""
    values = {"flower": [1000.0], "fastapi-arq": [1500.0, 1600.0], "pacifica-embedded": [3000.0, 3300.4]}
    records = [
        Record("peers", row, "done", number, value)
        for row, found in values.items()
        for number, value in enumerate(found, 1)
    ]
    return Results(FACTS, records, [NotRun("peers", "flower", 2, "TimeoutError: 3 of 4\nand more", failed=True)])


def test_a_cell_shows_median_and_spread(results: Results) -> None:
    page = text(results)
    assert "| Flower 2 (RabbitMQ, Redis results) | – | 1,000 | – |" in page
    assert "| FastAPI + arq (Redis) | – | 1,550 (1,500–1,600) | – |" in page


def test_a_comparison_shows_its_ratio_its_goal_and_the_best_of_the_others(results: Results) -> None:
    ratio = "| end to end | Pacifica Dispatcher (SQLite for all) | 2.03 (2.00–2.06) "
    assert ratio + "| ≥ 1.1 | met | FastAPI + arq (Redis) |" in text(results)


def test_a_failure_is_shown_by_its_first_line(results: Results) -> None:
    page = text(results)
    assert "- Flower 2 (RabbitMQ, Redis results): failed in round 2: TimeoutError: 3 of 4\n" in page
    assert "and more" not in page


def test_a_system_that_is_no_longer_measured_is_shown_by_its_name(results: Results) -> None:
    results.records.append(Record("peers", "pacifica-threads", "done", 1, 900.0))
    assert "| pacifica-threads | – | 900 | – |" in text(results)


def test_the_report_names_machine_and_versions(results: Results) -> None:
    page = text(results)
    assert "a processor, 2 cores, 24.0 GiB, Linux 6.1; RabbitMQ 3.10.8; wrk 4.1.0" in page
    assert "| Pacifica Dispatcher | cherrypy 18.10.0 | a line \\| a request |" in page


def test_the_report_shows_the_promises(results: Results) -> None:
    assert "| Pacifica Dispatcher | on disk | runs again | all | types |" in text(results)


def test_a_run_is_read_as_it_was_written(results: Results, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    results.write(file)
    assert Results.read(file) == results
    assert len(file.read_text("utf-8").splitlines()) > len(results.records)


class Interrupted(Peers):
    """A scene during whose second round the user presses Ctrl-C."""

    def measure(self, this: Round) -> None:
        if this.number == 2:
            raise KeyboardInterrupt
        this.record("pacifica", done=1000)


@pytest.mark.slow
def test_figures_from_before_ctrl_c_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    file = tmp_path / "results.json"
    status, found = run([Interrupted()], ["pacifica-embedded"], Sizes(rounds=3), file, "python -m bench")
    assert status == 130
    assert Results.read(file) == found
    assert found.records == [Record("peers", "pacifica", "done", 1, 1000)]


def test_an_unknown_name_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--systems", "flower,nope"])
    assert "unknown: nope; there are flower, fastapi-celery-redis" in capsys.readouterr().err
