"""A process that forks: neither its connections nor SQLite's memory of them reach the children."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("programs") / "fork_while_writing.py"


def test_writes_of_a_child_forked_while_threads_write_are_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", str(PROGRAM), f"sqliteext:///{tmp_path}/db.sqlite3"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")
