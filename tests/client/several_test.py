"""Commands that are given several jobs, or too little time, against a service that answers as it is told."""

import json
from collections.abc import Iterator

import click.testing
import pytest
from click.testing import CliRunner

from pacifica.dispatcher.cli import main

from .stub import JOB, Answer, Stub, stubbed

RUNS, FAILED, DONE, NONE = (f"01a20a87-952e-7637-b259-00000000000{n}" for n in range(4))
ERROR = {"type": "RuntimeError", "message": "Oh no.", "traceback": ""}
STILL = f"Error: Job {RUNS} (add) is still STARTED after 0.05 s.\n"
OH_NO = f"Error: Job {FAILED} (add) failed: RuntimeError: Oh no.\n"
NO_SUCH = "Error: No job has that UUID.\n"
runs = Answer(body={**JOB, "uuid": RUNS, "state": "STARTED"}, headers={"Preference-Applied": "wait"})
failed = Answer(body={**JOB, "uuid": FAILED, "state": "FAILURE", "error": ERROR})
done = Answer(body={**JOB, "uuid": DONE})
none = Answer(404, {"type": "urn:pacifica-dispatcher:problem:unknown-job", "status": 404, "detail": NO_SUCH[7:-1]})


@pytest.fixture(scope="module")
def service() -> Iterator[Stub]:
    """What the commands talk to."""
    with stubbed() as stub:
        yield stub


def ran(service: Stub, *words: str) -> click.testing.Result:
    """How a command ends."""
    return CliRunner().invoke(main, [*words, "--url", service.url])


def test_wait_tells_of_each_job_whatever_the_others_do(service: Stub) -> None:
    service.will(runs, failed, none, done, runs)
    told = ran(service, "wait", RUNS, FAILED, NONE, DONE, FAILED, "--timeout", "0.05")
    assert told.stdout == f"{FAILED} FAILURE\n{DONE} SUCCESS\n"
    assert (told.stderr, told.exit_code) == (NO_SUCH + STILL + OH_NO, 2)


def test_time_that_is_over_is_graver_to_wait_than_a_job_that_failed(service: Stub) -> None:
    service.will(runs, failed, runs)
    told = ran(service, "wait", RUNS, FAILED, "--timeout", "0.05", "--json")
    assert [json.loads(line)["state"] for line in told.stdout.splitlines()] == ["FAILURE", "STARTED"]
    assert (told.stderr, told.exit_code) == (STILL + OH_NO, 4)


def test_status_shows_those_that_there_are(service: Stub) -> None:
    service.will(done, none, failed)
    told = ran(service, "status", DONE, NONE, FAILED, "--json")
    assert [json.loads(line)["uuid"] for line in told.stdout.splitlines()] == [DONE, FAILED]
    assert (told.stderr, told.exit_code) == (NO_SUCH, 2)
    service.will(done, none)
    told = ran(service, "status", DONE, NONE)
    assert [line.split()[0] for line in told.stdout.splitlines()] == ["UUID", DONE]


def test_watch_counts_a_job_once_and_takes_uuids_or_filters() -> None:
    with stubbed([failed]) as own:  # its thread may ask for the events when the command has ended
        told = ran(own, "watch", FAILED, FAILED)
        assert (told.stderr, told.exit_code) == ("Error: 1 of 1 jobs did not succeed.\n", 1)
        told = ran(own, "watch", FAILED, "--task", "add")
    assert "Jobs are watched by their UUIDs, or by what they have in common; not by both." in told.stderr
    assert told.exit_code == 2


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("2026-11-24", "2026-11-24T00%3A00%3A00%2B00%3A00"),
        ("2026-11-24T09:30:00+02:00", "2026-11-24T09%3A30%3A00%2B02%3A00"),
        ("1.5h", "5400.0"),
    ],
)
def test_search_takes_a_day_a_time_and_how_long_ago(service: Stub, said: str, asked: str) -> None:
    service.will(Answer(body={"jobs": [], "next": None}))
    assert ran(service, "search", "--since", said).exit_code == 0
    assert f"since={asked}&" in service.requests[0].path


def test_search_says_which_times_there_are(service: Stub) -> None:
    for said in ("yesterday", "2026-11-24T09:30"):
        told = ran(service, "search", "--since", said)
        assert (told.exit_code, f"'{said}' is no time: it may be one with an offset" in told.stderr) == (2, True)


def test_who_is_not_known_is_told_so_once(service: Stub) -> None:
    service.will(Answer(401, {"status": 401, "detail": "A token is missing."}))
    told = ran(service, "cancel", DONE, NONE)
    assert (told.stderr, told.exit_code) == ("Error: A token is missing.\n", 2)


def test_a_dispatch_that_is_not_done_in_time_tells_the_job_to_a_program(service: Stub) -> None:
    service.will(Answer(body={"name": "add", "doc": "", "arguments": {}, "result": {}}), runs)
    told = ran(service, "dispatch", "add", "2", "2", "--wait", "0.05", "--json")
    assert (json.loads(told.stdout)["uuid"], told.exit_code) == (RUNS, 4)
    assert told.stderr == STILL
