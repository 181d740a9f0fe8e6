"""``init``: the folder that it makes, and the commands that it prints."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pacifica.dispatcher.cli import main

from ...processes import Processes, free_port
from ..conftest import Run


def invoke(folder: Path) -> tuple[int, str]:
    """Run ``init``: its exit code and its output."""
    ran = CliRunner().invoke(main, ["init", str(folder)])
    return ran.exit_code, ran.output


def commands(printed: str) -> list[str]:
    """The commands that are printed, which are indented."""
    return [line.strip() for line in printed.splitlines() if line.startswith("  ")]


def test_printed_commands_start_the_service_and_its_tasks_work(processes: Processes, run: Run) -> None:
    folder = processes.cwd / "my lab"
    ran = run("init", str(folder))
    assert (ran.returncode, ran.stderr) == (0, "")
    port = free_port()
    cd, up, *lines = (line.replace(":8050", f":{port}") for line in commands(ran.stdout))
    code = "import os, sys; os.execvp('bash', ['bash', '-c', sys.argv[1]])"
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    server = processes.start("up", ["-c", code, f"{cd}\nexec {up} -p {port}"], env=path)
    server.wait_until_it_says("Ctrl-C stops")
    assert "tasks          lab.convert, lab.count_lines, lab.scan; and the built-in ones" in server.output()
    assert "for .delay()" not in server.output()
    assert f"Open http://127.0.0.1:{port}/ in a browser, or try it in another terminal:" in server.output()
    producer = (
        "from pacifica.dispatcher.tasks import CELERY_APP; CELERY_APP.registry; "
        "print(CELERY_APP.tasks['lab.convert'].delay('S-18').get(timeout=20))"
    )
    more = [
        f"curl -s 'http://127.0.0.1:{port}/dispatch/lab.scan/S-17/3?wait=10' -H 'Accept: application/json'",
        f"curl -s http://127.0.0.1:{port}/dispatch/lab.scan/S-17/0",
        f"UUID=$(curl -s http://127.0.0.1:{port}/dispatch/lab.count_lines/lab.py)",
        f'curl -s "http://127.0.0.1:{port}/result/$UUID?wait=10"',
        f'{cd}\n{shlex.quote(sys.executable)} -c "{producer}"',
    ]
    shown = subprocess.run(
        ["bash", "-c", "\necho\n".join([*lines, *more])], capture_output=True, encoding="utf-8", check=True, timeout=60
    ).stdout.split("\n")
    result, scan, refused, number, delayed = filter(None, shown)
    assert result == '{"S-17": 5.0}'
    assert '"result": 2.0' in scan
    assert '"total": 3' in scan
    assert "steps: should be greater than or equal to 1" in refused
    assert re.fullmatch(r"\d+", number)
    assert delayed == "{'S-18': 2.5}"


@pytest.mark.parametrize("present", ["config.ini", "lab.py"])
def test_no_file_is_overwritten(tmp_path: Path, present: str) -> None:
    (tmp_path / present).write_text("mine", encoding="utf-8")
    code, output = invoke(tmp_path)
    assert (code, output) == (2, f"Error: {tmp_path} already has {present}. Name another folder.\n")
    assert [path.name for path in tmp_path.iterdir()] == [present]
    assert (tmp_path / present).read_text(encoding="utf-8") == "mine"


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, output = invoke(tmp_path / "file" / "lab")
    assert code == 1
    assert output == f"Error: {tmp_path}/file/lab cannot be written: Not a directory.\n"
