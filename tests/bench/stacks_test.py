"""What is read of py-spy's stacks."""

from pathlib import Path

import pytest

from bench import stacks
from bench.results import Record, Results
from bench.scenes import functions
from bench.scenes.scene import Round, Sizes
from bench.servers import Servers
from bench.systems import ALL

SITE = "/home/somebody/.venv/lib/python3.11/site-packages"
WORKER = f"Worker.run ({SITE}/gunicorn/workers/gthread.py:10)"
DISPATCH = "dispatch (/home/somebody/pacifica/dispatcher/rest.py:20)"
STORE = "Jobs.add (/home/somebody/pacifica/dispatcher/store/jobs.py:30)"
COMMIT = f"Database.commit ({SITE}/peewee.py:40)"
QUERY = f"Query.sql ({SITE}/peewee.py:50)"
DUMPS = "dumps (/usr/lib/python3.11/json/__init__.py:60)"
RAW = f"""\
{WORKER};{DISPATCH};{STORE};{COMMIT} 40
{WORKER};{DISPATCH};{STORE};{QUERY} 10
{WORKER};{DISPATCH};{DUMPS} 30
{WORKER} 15
{DUMPS} 5
"""


@pytest.fixture
def seen() -> stacks.Stacks:
    return stacks.read(RAW)


def test_a_sample_is_the_innermost_parts_own(seen: stacks.Stacks) -> None:
    assert stacks.own_parts(seen) == {"SQLite": 40, "our web": 30, "gunicorn": 15, "PeeWee": 10, "else": 5}


def test_a_statement_of_ours_is_sqlite_and_a_method_of_another_is_not() -> None:
    ours = "(/home/somebody/pacifica/dispatcher/store/busy.py:40)"
    assert stacks.own_parts(stacks.read(f"{STORE};_Cursor.execute {ours} 3\n")) == {"SQLite": 100}
    assert stacks.own_parts(stacks.read(f"{STORE};_Cursor._may_wait {ours} 3\n")) == {"our store": 100}


def test_a_part_is_charged_with_all_that_it_calls(seen: stacks.Stacks) -> None:
    whole = {"gunicorn": 95, "our web": 80, "our store": 50, "PeeWee": 50, "SQLite": 40, "else": 5}
    assert stacks.all_parts(seen) == whole


def test_functions_tell_their_package_and_no_path_of_the_machine(seen: stacks.Stacks) -> None:
    assert stacks.own_functions(seen) == {
        "Database.commit (peewee.py:40)": 40,
        "dumps (json/__init__.py:60)": 35,
        "Worker.run (gunicorn/workers/gthread.py:10)": 15,
        "Query.sql (peewee.py:50)": 10,
    }
    assert stacks.all_functions(seen)["dispatch (pacifica/dispatcher/rest.py:20)"] == 80


@pytest.mark.parametrize(
    ("frame", "place"),
    [
        ("f (/somewhere/else/tasks.py:7)", "tasks.py:7"),
        ("f (<frozen abc>:117)", "<frozen abc>:117"),
        ("<module> (/opt/x/lib/python3.12/runpy.py)", "runpy.py"),
    ],
)
def test_a_place_is_as_short_as_it_can_be(frame: str, place: str) -> None:
    (((found,), number),) = stacks.read(f"{frame} 3")
    assert (found.place, number) == (place, 3)


def test_a_recursive_function_counts_once_in_a_stack() -> None:
    assert stacks.all_functions(stacks.read("f (a.py:1);f (a.py:1);f (a.py:1) 4")) == {"f (a.py:1)": 100}


def test_what_is_no_stack_is_passed_over() -> None:
    assert stacks.samples(stacks.read("\nno number\n")) == 0


def test_the_text_has_medians_by_own_time(seen: stacks.Stacks) -> None:
    records = [
        Record("functions", "web-python", figure, number, value * share)
        for number, share in enumerate((1, 0.5, 0.9), 1)
        for figure, value in functions.figures(seen, 1).items()
    ]
    lines = functions.text(Results({}, records)).splitlines()
    assert lines[0] == "The web process runs Python: the 25 functions with the most time of their own"
    assert lines[3:5] == [
        "   36.0    36.0  Database.commit (peewee.py:40)",
        "   31.5    31.5  dumps (json/__init__.py:60)",
    ]
    assert len(lines) == 7


def test_without_py_spy_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "SPY", tmp_path / "py-spy")
    monkeypatch.setattr(type(ALL["pacifica"]), "missing", lambda *_: "")
    scene, results = functions.Functions(), Results({})
    with Servers(tmp_path) as servers:
        scene.measure(Round(scene, 1, Sizes(), servers, results, [], tmp_path, lambda _: None))
    (left_out,) = results.not_run
    assert (left_out.reason, left_out.failed) == ("py-spy is not installed (make bench installs it)", False)


def test_a_process_is_told_how_much_of_the_time_it_had(seen: stacks.Stacks) -> None:
    assert functions.figures(seen, 2)["time"] == pytest.approx(25)
