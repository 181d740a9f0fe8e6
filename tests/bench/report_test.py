"""The report is made of the JSON alone."""

from pathlib import Path

import pytest

from bench.__main__ import main
from bench.pictures import pictures
from bench.report import text
from bench.results import NotRun, Record, Results

FACTS = {
    "command": "python -m bench",
    "date": "2026-11-24T15:00:00+00:00",
    "commit": "0123456789ab",
    "machine": {"cpu": "a processor", "cores": 2, "memory_gib": 24.0, "kernel": "6.1"},
    "servers": {"RabbitMQ": "3.10.8"},
    "wrk": "wrk 4.1.0",
    "systems": {
        "pacifica": {"title": "Pacifica Dispatcher", "logs": "a line | a request", "versions": {"cherrypy": "18.10.0"}}
    },
}


@pytest.fixture
def run() -> Results:
    """Two rounds, in the second of which Flower failed."""
    values = {"flower": [1000.0], "fastapi-arq": [1500.0, 1600.0], "pacifica": [3000.0, 3300.4]}
    records = [
        Record("peers", row, "done", number, value)
        for row, found in values.items()
        for number, value in enumerate(found, 1)
    ]
    return Results(FACTS, records, [NotRun("peers", "flower", 2, "TimeoutError: 3 of 4\nand more", failed=True)])


def test_a_cell_shows_median_and_spread(run: Results) -> None:
    page = text(run)
    assert "| Flower 2 (RabbitMQ, Redis results) | – | 1,000 | – |" in page
    assert "| FastAPI + arq (Redis) | – | 1,550 (1,500–1,600) | – |" in page


def test_a_goal_shows_its_ratio_and_whom_it_is_beside(run: Results) -> None:
    assert "| end to end, beside the best peer | 2.03 (2.00–2.06) | ≥ 1.1 | yes | FastAPI + arq (Redis) |" in text(run)


def test_what_failed_is_told_in_its_first_line(run: Results) -> None:
    page = text(run)
    assert "- Flower 2 (RabbitMQ, Redis results): failed in round 2: TimeoutError: 3 of 4\n" in page
    assert "and more" not in page


def test_a_system_that_is_no_longer_measured_is_shown_by_its_name(run: Results) -> None:
    run.records.append(Record("peers", "pacifica-threads", "done", 1, 900.0))
    assert "| pacifica-threads | – | 900 | – |" in text(run)


def test_machine_and_versions_are_told(run: Results) -> None:
    page = text(run)
    assert "a processor, 2 cores, 24.0 GiB, Linux 6.1; RabbitMQ 3.10.8; wrk 4.1.0" in page
    assert "| Pacifica Dispatcher | cherrypy 18.10.0 | a line \\| a request |" in page


def test_only_drawn_plots_are_shown(run: Results) -> None:
    assert "peers.png" not in text(run)
    assert "](peers.png)" in text(run, {"peers"})


def test_a_picture_has_a_bar_for_each_row_that_has_the_figure(run: Results) -> None:
    (picture,) = pictures(run)
    (panel,) = picture["panels"]
    assert [(bar["row"], bar["median"], bar["ours"]) for bar in panel["bars"]] == [
        ("Flower 2 (RabbitMQ, Redis results)", 1000, False),
        ("FastAPI + arq (Redis)", 1550, False),
        ("Pacifica Dispatcher (RabbitMQ, SQLite)", 3150.2, True),
    ]


def test_a_run_is_read_as_it_was_written(run: Results, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    run.write(file)
    assert Results.read(file) == run
    assert len(file.read_text("utf-8").splitlines()) > len(run.records)


def test_an_unknown_name_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--systems", "flower,nope"])
    assert "unknown: nope; there are flower, fastapi-celery-redis" in capsys.readouterr().err
