"""Permission to begin a job, and outcomes: none is both begun and taken back, and none is lost with a process."""

import os
import signal

import pytest

from pacifica.dispatcher.worker.begin_tokens import (
    BeginTokens,
    Lane,
    append_outcome,
    next_job,
    read_outcomes,
    take_tokens,
)


def lent(tokens: BeginTokens, jobs: int) -> Lane:
    lane = tokens.lend(jobs)
    assert lane is not None
    return lane


def in_child(lane: Lane, go: int) -> tuple[int, int]:
    """Fork a process that begins jobs while it may, once ``go`` can be read; returns its id and where it writes."""
    result, to_parent = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(go, 1)
        begun = 0
        while next_job(lane) is not None:
            begun += 1
        os.write(to_parent, begun.to_bytes(4, "big"))
        os._exit(0)
    os.close(to_parent)
    return pid, result


def test_lane_gives_each_job_in_turn_once() -> None:
    lane = lent(BeginTokens(1), 3)
    assert [next_job(lane) for _ in range(4)] == [0, 1, 2, None]


def test_jobs_that_are_taken_back_may_not_begin() -> None:
    tokens = BeginTokens(1)
    lane = lent(tokens, 3)
    assert next_job(lane) == 0
    assert take_tokens(lane) == 2
    assert next_job(lane) is None
    assert take_tokens(lane) == 0


def test_lanes_are_lent_once_until_they_are_free_again() -> None:
    tokens = BeginTokens(2)
    first, second = lent(tokens, 1), lent(tokens, 1)
    assert {*first}.isdisjoint(second)
    assert (tokens.lend(1), tokens.any()) == (None, False)
    append_outcome(first, "old")
    take_tokens(first)
    tokens.end(first)
    assert (tokens.any(), tokens.lend(2)) == (True, first)
    assert [next_job(first) for _ in range(3)] == [0, 1, None]
    assert read_outcomes(first, 0) == ([], 0)


def test_outcomes_are_read_once_in_their_order() -> None:
    lane = lent(BeginTokens(1), 3)
    append_outcome(lane, "one")
    append_outcome(lane, ["two"] * 100_000)
    found, seen = read_outcomes(lane, 0)
    assert found == ["one", ["two"] * 100_000]
    assert read_outcomes(lane, seen) == ([], seen)
    append_outcome(lane, "three")
    assert read_outcomes(lane, seen)[0] == ["three"]


def test_half_written_outcome_is_not_read() -> None:
    lane = lent(BeginTokens(1), 3)
    append_outcome(lane, "one")
    place = read_outcomes(lane, 0)[1]
    append_outcome(lane, "two")
    end = read_outcomes(lane, 0)[1]
    for size in (end - 1, place + 2, place):
        os.ftruncate(lane.file, size)
        assert read_outcomes(lane, 0) == (["one"], place)


@pytest.mark.slow
def test_each_of_many_jobs_is_begun_by_a_process_or_taken_back() -> None:
    """Two processes read from one pipe at once with the main process: together they see each token once."""
    tokens = BeginTokens(1)
    for _ in range(20):
        lane = lent(tokens, 256)
        go, opened = os.pipe()
        children = [in_child(lane, go) for _ in range(2)]
        os.write(opened, b"xx")
        back = sum(take_tokens(lane) for _ in range(3))
        begun = [int.from_bytes(os.read(result, 4), "big") for _, result in children]
        for pid, result in children:
            os.waitpid(pid, 0)
            os.close(result)
        os.close(go)
        os.close(opened)
        assert sum(begun) + back == 256
        tokens.end(lane)


@pytest.mark.slow
def test_tokens_and_outcomes_of_a_killed_process_remain() -> None:
    tokens = BeginTokens(1)
    lane = lent(tokens, 5)
    pid = os.fork()
    if pid == 0:
        next_job(lane)
        append_outcome(lane, "one")
        next_job(lane)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert take_tokens(lane) == 3
    assert read_outcomes(lane, 0)[0] == ["one"]
