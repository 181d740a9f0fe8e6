"""The processes of ``up`` in spite of a broken terminal or a dead parent."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from pacifica.dispatcher.cli.processes import start, stop_requests
from pacifica.dispatcher.core import parent_watch


@pytest.mark.slow
def test_output_that_no_one_reads_asks_to_stop_and_blocks_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rich redirects ``sys.stdout``, here a file of the test."""
    lines = "import sys\nfor _ in range(500):\n    print('x' * 200)\n"
    (tmp_path / "noise.py").write_text(lines, encoding="utf-8")
    read, write = os.pipe()
    os.close(read)
    with (tmp_path / "stdout").open("w") as stdout, os.fdopen(write, "w", closefd=False) as output:
        monkeypatch.setattr(sys, "stdout", stdout)
        console = Console(file=output)
        with stop_requests(console) as stopping:
            assert not stopping()
            child = start("noise", ["noise"], {**os.environ, "PYTHONPATH": str(tmp_path)}, console, verbose=True)
            child.release()
            assert child.wait(20)
            assert stopping()
        with suppress(BrokenPipeError):
            output.close()
    os.close(write)


WATCHED = "import os, time; from pacifica.dispatcher.core import parent_watch; parent_watch.start(os.environ); "
SLEEP = "print('ready', flush=True); time.sleep(60)"
BUSY = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); parent_watch.GRACE = 0.01; "


@pytest.mark.slow
@pytest.mark.parametrize(("first", "end"), [("", "SIGTERM"), (BUSY, "SIGQUIT")])
def test_process_is_stopped_when_its_parent_is_gone(first: str, end: str) -> None:
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED + first + SLEEP],
        stdin=read,
        stdout=subprocess.PIPE,
        env={**os.environ, parent_watch.VARIABLE: parent_watch.name_of(read)},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        os.close(read)
        os.close(write)
        assert child.wait(20) == -getattr(signal, end)


@pytest.mark.slow
def test_programs_of_a_watched_process_are_not_watched(tmp_path: Path) -> None:
    """They inherit the variable, but another standard input."""
    program = WATCHED + "import threading; print([thread.name for thread in threading.enumerate()])"
    environ = {**os.environ, parent_watch.VARIABLE: "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "['MainThread']\n"
