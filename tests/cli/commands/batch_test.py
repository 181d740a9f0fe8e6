"""``batch``: the outcome of each line, and repeated runs."""

import json
import re
import signal
from pathlib import Path

from ...e2e.stack import Stack
from ...eventually import eventually
from ..conftest import CODE, Run
from ..outcome import UUID, assert_failed, output_of, terminal_output


def test_batch_prints_the_outcome_of_each_line_and_doubles_no_job(run_process: Run, invoke: Run, stack: Stack) -> None:
    lines = ['{"task": "add", "args": [1, 1]}', "nonsense", "", '{"task": "nothing"}', '{"args": [2, 2]}', "[1]"]
    (stack.processes.cwd / "jobs.ndjson").write_text("\n".join(lines), encoding="utf-8")
    ran = run_process("batch", "jobs.ndjson", "-l", "run=lines")
    assert ran.returncode == 2
    found = re.fullmatch(rf"1 ({UUID})\n", ran.stdout)
    assert found
    for text in ("line 2: The line is not JSON", "line 4: No task named", "line 5: The line names no task", "line 6: "):
        assert text in ran.stderr
    assert ran.stderr.endswith("Error: 1 dispatched, 4 refused.\n")
    again = invoke("batch", "jobs.ndjson", "-l", "run=lines", "--wait", "--json")
    outcomes = {one["line"]: one for one in map(json.loads, again.stdout.splitlines())}
    assert sorted(outcomes) == [1, 2, 4, 5, 6]
    assert (outcomes[1]["uuid"], outcomes[1]["state"]) == (found[1], "SUCCESS")
    assert outcomes[4]["problem"]["status"] == 404
    assert len(stack.get("/status?label=run:lines").json()["jobs"]) == 1


def test_values_of_csv_are_read_as_in_a_url(invoke: Run, stack: Stack) -> None:
    text = 'name,loud\n5,true\n"Bob, B",\nonly\n'
    (stack.processes.cwd / "names.csv").write_text(text, encoding="utf-8")
    assert_failed(invoke("batch", "names.csv"), 2, "name it with --task")
    ran = invoke("batch", "names.csv", "--task", "lab.greet", "--wait")
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (
        2,
        "line 4: The number of values is 1, but the first line names 2.",
    )
    shown = [re.sub(UUID, "<uuid>", line) for line in ran.stdout.splitlines()]
    assert shown == ["2 <uuid> SUCCESS Hello, 5!", "3 <uuid> SUCCESS Hello, Bob, B!"]


def test_interrupted_batch_continues_in_the_next_run(run_process: Run, stack: Stack, tmp_path: Path) -> None:
    lines = "".join(f'{{"task": "add", "args": [{n}, 1]}}\n' for n in range(1500))
    (tmp_path / "many.ndjson").write_text(lines, encoding="utf-8")
    options = ["batch", str(tmp_path / "many.ndjson"), "-l", "run=resumed", "-o", "countdown=3600"]
    running = stack.processes.start("batch", ["-c", CODE, *options], env={"DISPATCHER_URL": stack.url})
    eventually(lambda: stack.get("/status?label=run:resumed&limit=1").json()["jobs"])
    running.send(signal.SIGINT)
    if running.wait() != 0:  # it may have been quicker
        assert running.popen.returncode == 130
        assert "Run the same command again to continue." in running.output()
    ran = run_process(*options)
    assert (ran.returncode, ran.stderr) == (0, "1500 dispatched, 0 refused.\n")
    uuids = [line.split()[1] for line in ran.stdout.splitlines()]
    found = output_of(run_process("search", "--label", "run=resumed", "--all", "--json"))
    assert {json.loads(line)["uuid"] for line in found.splitlines()} == set(uuids)
    assert len(set(uuids)) == 1500


def test_terminal_shows_a_bar_with_rate_and_remaining_time(stack: Stack) -> None:
    (stack.processes.cwd / "bar.ndjson").write_text('{"task": "add", "args": [1, 1]}\n' * 3, encoding="utf-8")
    shown = terminal_output(stack, "batch", "bar.ndjson", "--wait")
    assert re.search(r"sent ━+ 3/3 [\d,]+/s 0:00:00", shown)
    assert re.search(r"done ━+ 3/3 [\d,]+/s 0:00:00", shown)
    assert re.search(rf"3 {UUID} SUCCESS 2", shown)
