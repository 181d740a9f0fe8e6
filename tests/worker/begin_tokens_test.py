"""Permission to begin a job: of each message, no job is both begun and taken back."""

import os

import pytest

from pacifica.dispatcher.worker.begin_tokens import BeginTokens, may_begin


def in_child(pipe: int, go: int) -> tuple[int, int]:
    """Fork a process that begins jobs while it may, once the other end of ``go`` is closed; returns pid and result."""
    result, to_parent = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(go, 1)
        begun = 0
        while may_begin(pipe):
            begun += 1
        os.write(to_parent, begun.to_bytes(4, "big"))
        os._exit(0)
    os.close(to_parent)
    return pid, result


def test_pipe_gives_one_permission_for_each_job() -> None:
    tokens = BeginTokens(1)
    pipe = tokens.lend(3)
    assert [may_begin(pipe) for _ in range(4)] == [True, True, True, False]


def test_jobs_that_are_taken_back_may_not_begin() -> None:
    tokens = BeginTokens(1)
    pipe = tokens.lend(3)
    assert pipe is not None
    assert may_begin(pipe)
    assert tokens.take_back(pipe) == 2
    assert not may_begin(pipe)
    assert tokens.take_back(pipe) == 0


def test_pipes_are_lent_once_until_they_are_free_again() -> None:
    tokens = BeginTokens(2)
    first, second = tokens.lend(1), tokens.lend(1)
    assert first is not None
    assert first != second
    assert (tokens.lend(1), tokens.any()) == (None, False)
    tokens.take_back(first)
    tokens.end(first)
    assert (tokens.any(), tokens.lend(2)) == (True, first)
    assert [may_begin(first) for _ in range(3)] == [True, True, False]


def test_job_begins_without_a_pipe() -> None:
    assert may_begin(None)


@pytest.mark.slow
def test_each_of_many_jobs_is_begun_by_a_process_or_taken_back() -> None:
    """Two processes read from one pipe at once with the main process: together they see each token once."""
    tokens = BeginTokens(1)
    taken = []
    for _ in range(20):
        pipe = tokens.lend(4096)
        assert pipe is not None
        go, opened = os.pipe()
        children = [in_child(pipe, go) for _ in range(2)]
        os.write(opened, b"xx")
        back = sum(tokens.take_back(pipe) for _ in range(3))
        begun = [int.from_bytes(os.read(result, 4), "big") for _, result in children]
        for pid, result in children:
            os.waitpid(pid, 0)
            os.close(result)
        os.close(go)
        os.close(opened)
        taken.append(back)
        assert sum(begun) + back == 4096
        tokens.end(pipe)
    assert any(taken), "the main process was never in time"


@pytest.mark.slow
def test_tokens_of_a_killed_process_remain() -> None:
    tokens = BeginTokens(1)
    pipe = tokens.lend(5)
    assert pipe is not None
    pid = os.fork()
    if pid == 0:
        may_begin(pipe)
        may_begin(pipe)
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    assert tokens.take_back(pipe) == 3
