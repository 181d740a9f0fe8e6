"""The event loop that reads the pool's messages while a worker connects again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from kombu.asynchronous import Hub

from pacifica.dispatcher.worker import job_steps
from pacifica.dispatcher.worker.job_steps import OutageLoop

from ..eventually import eventually


class OneProcess:
    """A pool of one process, whose messages have four bytes; ``got`` has those that were read."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.parts = 0
        self.got: list[bytes] = []
        self.known = {self.reader: self.process}
        self._pool = SimpleNamespace(_fileno_to_outq=self.known)

    def register_with_event_loop(self, loop: Hub) -> None:
        """Read messages as Celery's pool does: a generator is the reader while a part of a message was read."""
        end = os.pidfd_open(self.process.pid)

        def rest(message: bytes) -> Iterator[None]:
            while len(message) < 4:
                yield
                message += os.read(self.reader, 4 - len(message))
            self.got.append(message)
            loop.add_reader(self.reader, readable)

        def readable() -> None:
            reading = rest(os.read(self.reader, 4))
            self.parts += 1
            for _ in reading:
                loop.add_reader(self.reader, reading)
                return

        def ended() -> None:
            loop.remove_reader(end)
            loop.remove_reader(self.reader)
            os.close(end)

        loop.add_reader(self.reader, readable)
        loop.add_reader(end, ended)

    def write(self, text: bytes) -> None:
        """Write as the process would do."""
        os.write(self.writer, text)


@pytest.fixture
def pool() -> Iterator[OneProcess]:
    """A pool whose process sleeps."""
    made = OneProcess()
    yield made
    made.process.kill()
    made.process.wait()
    os.close(made.reader)
    os.close(made.writer)


@pytest.mark.slow
def test_rest_of_a_message_is_read_before_the_loop_ends(pool: OneProcess) -> None:
    loop = OutageLoop(pool)
    pool.write(b"12")
    eventually(lambda: pool.parts == 1)
    pool.write(b"34")
    loop.end()
    assert pool.got == [b"1234"]
    assert pool.process.poll() is None


@pytest.mark.slow
def test_process_that_never_writes_the_rest_of_a_message_is_killed(
    pool: OneProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that was stopped: the worker must not wait for it forever."""
    monkeypatch.setattr(job_steps, "REST", 0.2)
    loop = OutageLoop(pool)
    pool.write(b"12")
    eventually(lambda: pool.parts == 1)
    loop.end()
    assert pool.process.wait(10) == -9


def test_reader_of_a_process_that_is_gone_is_dropped(pool: OneProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_steps, "REST", 0.2)
    pool.known.clear()
    loop = OutageLoop(pool)
    pool.write(b"12")
    eventually(lambda: pool.parts == 1)
    loop.end()
    assert pool.process.poll() is None
