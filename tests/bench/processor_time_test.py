"""The processor time per job: the arithmetic, and the processes that are counted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import processes
from bench.processor_time import per_job


def test_seconds_become_milliseconds_per_job_and_their_sum() -> None:
    before = {"cpu_web": 1.0, "cpu_worker": 2.0}
    found = per_job(before, {"cpu_web": 2.3, "cpu_worker": 3.5}, 2000)
    assert found == pytest.approx({"cpu_web": 0.65, "cpu_worker": 0.75, "cpu_sum": 1.4})


@pytest.mark.slow
def test_a_process_is_counted_with_all_its_descendants() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        assert started.pid in processes.family([os.getpid()])
        assert processes.processor_seconds(processes.family([started.pid, started.pid])) >= 0.2
        started.communicate(b"\n")


def test_a_server_is_found_by_the_name_of_its_program() -> None:
    assert os.getpid() in processes.named(Path("/proc/self/comm").read_text("utf-8").strip())
