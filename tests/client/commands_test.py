"""The commands that talk HTTP, run as processes: what they print, how they end."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from pacifica.dispatcher.cli import main

from ..cli.conftest import CODE
from ..e2e.stack import Stack
from ..eventually import eventually
from .stub import JOB, Answer, busy, stubbed

UUID = r"[0-9a-f]{8}-[0-9a-f-]{27}"
Ran = subprocess.CompletedProcess[str]
Command = Callable[..., Ran]


@pytest.fixture
def command(stack: Stack) -> Command:
    """Runs a command against the service."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> Ran:
        return stack.processes.run("-c", CODE, *arguments, env={"DISPATCHER_URL": stack.url, **(env or {})})

    return run


@pytest.fixture
def quick(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The same without a process of its own, for what has been shown with one, and differs little."""
    monkeypatch.chdir(stack.processes.cwd)

    def run(*arguments: str, env: dict[str, str] | None = None) -> Ran:
        told = CliRunner().invoke(main, arguments, env={"DISPATCHER_URL": stack.url, **(env or {})})
        return Ran(arguments, told.exit_code, told.stdout, told.stderr)

    return run


def good(ran: Ran) -> str:
    """What a command has printed that ended well, and said nothing else."""
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.rstrip("\n")


def bad(ran: Ran, code: int, told: str) -> None:
    """It ended by this code, and said why in a sentence on standard error only."""
    assert (ran.returncode, ran.stdout) == (code, ""), ran.stderr
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


def terminal(stack: Stack, *arguments: str) -> str:
    """What somebody sees who runs the command in a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "DISPATCHER_URL": stack.url, "TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-c", CODE, *arguments]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, cwd=stack.processes.cwd
    )
    os.close(theirs)
    told = b""
    with suppress(OSError), os.fdopen(ours, "rb", buffering=0) as shown:
        while part := shown.read(65536):
            told += part
    assert process.wait(30) == 0, told
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.decode())


# One job


def test_dispatch_prints_the_uuid_and_the_others_take_it(command: Command, quick: Command) -> None:
    uuid = good(command("dispatch", "add", "2", "-2", "-l", "run=17", "-o", "priority=9"))
    assert re.fullmatch(UUID, uuid)
    assert good(command("wait", uuid, "--timeout", "30")) == f"{uuid} SUCCESS"
    assert good(command("result", uuid)) == "0"
    shown = good(command("status", uuid))
    assert re.search(r"^state +SUCCESS *$", shown, re.MULTILINE)
    assert re.search(r"^arguments +2, -2 *$", shown, re.MULTILINE)
    assert re.search(r"^labels +run=17 *$", shown, re.MULTILINE)
    job = json.loads(good(quick("status", uuid, "--json")))
    assert (job["uuid"], job["result"], job["priority"]) == (uuid, 0, 9)
    events = [line.split("  ") for line in good(command("events", uuid)).splitlines()]
    assert [event[3] for event in events] == ["PENDING", "STARTED", "SUCCESS"]
    after = good(quick("events", uuid, "--after", events[0][0], "--json")).splitlines()
    assert [json.loads(line)["kind"] for line in after] == ["STARTED", "SUCCESS"]


def test_arguments_are_what_the_task_says_and_the_result_can_be_waited_for(quick: Command) -> None:
    assert good(quick("dispatch", "lab.greet", "5", "-k", "loud=true", "--wait")) == "Hello, 5!"
    job = json.loads(good(quick("dispatch", "echo", '{"a": [1]}', "--wait", "30", "--json")))
    assert (job["state"], job["args"], job["result"]) == ("SUCCESS", ['{"a": [1]}'], '{"a": [1]}')


def test_a_failed_job_ends_with_1(command: Command, quick: Command) -> None:
    bad(command("dispatch", "fail", "Oh no.", "--wait"), 1, "(fail) failed: RuntimeError: Oh no.")
    ran = quick("dispatch", "fail", "--wait", "--json")
    assert (ran.returncode, json.loads(ran.stdout)["state"]) == (1, "FAILURE")
    uuid = json.loads(ran.stdout)["uuid"]
    bad(quick("result", uuid, "--json"), 1, "It was asked to fail.")
    waited = quick("wait", uuid)
    assert (waited.returncode, waited.stdout) == (1, f"{uuid} FAILURE\n")


def test_what_is_asked_wrongly_ends_with_2(command: Command, quick: Command) -> None:
    bad(command("dispatch", "ad", "2", "2"), 2, "Error: No task named 'ad' is registered. Did you mean add")
    bad(quick("dispatch", "add", "2"), 2, "y: is missing")
    bad(quick("dispatch", "add", "2", "2", "-o", "speed=9"), 2, "speed: is not an option; the options are queue")
    bad(quick("dispatch", "add", "2", "2", "--wiat"), 2, "No such option '--wiat'")
    bad(quick("dispatch", "add", "2", "2", "-k", "x"), 2, "'x' is not NAME=VALUE")
    bad(quick("status", "nonsense"), 2, "'nonsense' is not a UUID")
    bad(quick("status", "0192f0c1-7c1e-7b60-9f3e-2b1a6d0c4e5f"), 2, "No job has the UUID 0192f0c1")
    bad(quick("tasks", env={"DISPATCHER_TOKEN": "pd_nonsense"}), 2, "Error: ")
    bad(quick("tasks", "--url", "nowhere"), 2, "'nowhere' is not the URL of a service")


def test_nobody_there_ends_with_3(command: Command, quick: Command) -> None:
    bad(command("tasks", "--url", "http://127.0.0.1:1"), 3, "http://127.0.0.1:1 cannot be reached: Connection refused.")
    with stubbed([busy(503, Retry_After="99")]) as stub:
        bad(quick("openapi", "--url", stub.url), 3, "is unavailable: Not just now.")


def test_cancel_retry_and_too_short_a_wait(command: Command, quick: Command) -> None:
    uuid = good(quick("dispatch", "add", "1", "2", "-o", "countdown=600"))
    bad(quick("result", uuid), 4, f"Job {uuid} (add) is still PENDING.")
    bad(command("wait", uuid, "--timeout", "0.1"), 4, "is still PENDING after 0.1 s.")
    assert good(command("cancel", uuid)) == f"{uuid} REVOKED"
    again = good(command("retry", uuid, "--key", "once"))
    assert good(quick("retry", uuid, "--key", "once")) == again
    assert good(quick("wait", again)) == f"{again} SUCCESS"
    ran = quick("cancel", again, uuid)
    assert (ran.returncode, ran.stdout) == (2, f"{uuid} REVOKED\n")
    assert "has ended as SUCCESS; there is nothing to cancel." in ran.stderr


def test_ctrl_c_says_that_the_job_goes_on(stack: Stack) -> None:
    task = {"name": "add", "doc": "", "arguments": {}, "result": {}}
    waits = Answer(200, {**JOB, "state": "PENDING"}, {"Retry-After": "60"})
    with stubbed([Answer(200, task), waits]) as stub:
        command = ["-c", CODE, "dispatch", "add", "1", "1", "--wait", "--url", stub.url]
        waiting = stack.processes.start("wait", command)
        eventually(lambda: len(stub.requests) == 3)
        waiting.send(signal.SIGINT)
        assert waiting.wait() == 130
    assert waiting.output() == f"\nJob {JOB['uuid']} goes on.\n"


# Many


def test_search_lists_jobs_as_a_table_and_as_json_lines(command: Command, quick: Command, stack: Stack) -> None:
    uuids = [stack.dispatch("add", n, 1, options={"labels": {"run": "listed"}}) for n in range(3)]
    for uuid in uuids:
        stack.ended(uuid)
    lines = good(
        command("search", "--label", "run=listed", "--state", "success", "--since", "1h", "-n", "2")
    ).splitlines()
    assert lines[0].split() == ["UUID", "TASK", "STATE", "AGE", "RAN", "RESULT"]
    assert [line.split()[0] for line in lines[1:]] == uuids[:0:-1]
    told = good(quick("search", "--label", "run=listed", "--all", "--json")).splitlines()
    assert [json.loads(line)["uuid"] for line in told] == uuids[::-1]


def test_tasks_and_openapi_describe_the_service(command: Command, quick: Command) -> None:
    assert re.search(
        r"^lab\.greet +name: string, loud: boolean = false +A greeting\. *$", good(command("tasks")), re.MULTILINE
    )
    assert "x: integer | number | string" in good(quick("tasks", "add"))
    assert json.loads(good(quick("tasks", "add", "--json")))["name"] == "add"
    assert json.loads(good(command("openapi")))["openapi"].startswith("3.1")


def test_batch_says_what_became_of_each_line_and_doubles_nothing(
    command: Command, quick: Command, stack: Stack
) -> None:
    lines = ['{"task": "add", "args": [1, 1]}', "nonsense", "", '{"task": "nothing"}', '{"args": [2, 2]}', "[1]"]
    (stack.processes.cwd / "jobs.ndjson").write_text("\n".join(lines), encoding="utf-8")
    ran = command("batch", "jobs.ndjson", "-l", "run=lines")
    assert ran.returncode == 2
    found = re.fullmatch(rf"1 ({UUID})\n", ran.stdout)
    assert found
    for told in ("line 2: The line is not JSON", "line 4: No task named", "line 5: The line names no task", "line 6: "):
        assert told in ran.stderr
    assert ran.stderr.endswith("Error: 1 dispatched, 4 refused.\n")
    again = quick("batch", "jobs.ndjson", "-l", "run=lines", "--wait", "--json")
    told_lines = {one["line"]: one for one in map(json.loads, again.stdout.splitlines())}
    assert sorted(told_lines) == [1, 2, 4, 5, 6]
    assert (told_lines[1]["uuid"], told_lines[1]["state"]) == (found[1], "SUCCESS")
    assert told_lines[4]["problem"]["status"] == 404
    assert len(stack.get("/status?label=run:lines").json()["jobs"]) == 1


def test_batch_reads_csv_as_a_url_is_read(quick: Command, stack: Stack) -> None:
    text = 'name,loud\n5,true\n"Bob, B",\nonly\n'
    (stack.processes.cwd / "names.csv").write_text(text, encoding="utf-8")
    bad(quick("batch", "names.csv"), 2, "say it with --task")
    ran = quick("batch", "names.csv", "--task", "lab.greet", "--wait")
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (2, "line 4: The line has 1 values; the first line names 2.")
    shown = [re.sub(UUID, "<uuid>", line) for line in ran.stdout.splitlines()]
    assert shown == ["2 <uuid> SUCCESS Hello, 5!", "3 <uuid> SUCCESS Hello, Bob, B!"]


def test_a_batch_that_was_interrupted_goes_on_where_it_stopped(command: Command, stack: Stack, tmp_path: Path) -> None:
    lines = "".join(f'{{"task": "add", "args": [{n}, 1]}}\n' for n in range(1500))
    (tmp_path / "many.ndjson").write_text(lines, encoding="utf-8")
    options = ["batch", str(tmp_path / "many.ndjson"), "-l", "run=resumed", "-o", "countdown=3600"]
    running = stack.processes.start("batch", ["-c", CODE, *options], env={"DISPATCHER_URL": stack.url})
    eventually(lambda: stack.get("/status?label=run:resumed&limit=1").json()["jobs"])
    running.send(signal.SIGINT)
    if running.wait() != 0:  # it may have been quicker
        assert running.popen.returncode == 130
        assert "Run the same command again to go on." in running.output()
    ran = command(*options)
    assert (ran.returncode, ran.stderr) == (0, "1500 dispatched, 0 refused.\n")
    uuids = [line.split()[1] for line in ran.stdout.splitlines()]
    told = good(command("search", "--label", "run=resumed", "--all", "--json"))
    assert {json.loads(line)["uuid"] for line in told.splitlines()} == set(uuids)
    assert len(set(uuids)) == 1500


def test_in_a_terminal_a_batch_shows_a_bar_with_rate_and_estimate(stack: Stack) -> None:
    (stack.processes.cwd / "bar.ndjson").write_text('{"task": "add", "args": [1, 1]}\n' * 3, encoding="utf-8")
    shown = terminal(stack, "batch", "bar.ndjson", "--wait")
    assert re.search(r"sent ━+ 3/3 [\d,]+/s 0:00:00", shown)
    assert re.search(r"done ━+ 3/3 [\d,]+/s 0:00:00", shown)
    assert re.search(rf"3 {UUID} SUCCESS 2", shown)


# As it happens


def test_watch_prints_each_change_until_all_jobs_have_ended(command: Command, quick: Command, stack: Stack) -> None:
    uuids = [stack.dispatch("sleep", 0.5), stack.dispatch("add", 1, 1)]
    lines = good(command("watch", *uuids)).splitlines()
    assert f"{uuids[0]}  sleep  SUCCESS  0.5" in lines
    assert f"{uuids[1]}  add  SUCCESS  2" in lines
    failed = stack.dispatch("fail")
    ran = quick("watch", failed, "--json")
    assert (ran.returncode, json.loads(ran.stdout.splitlines()[-1])["state"]) == (1, "FAILURE")


def test_in_a_terminal_watch_is_a_table_with_whole_uuids(stack: Stack) -> None:
    uuid = stack.dispatch("add", 20, 22)
    assert re.search(rf"{uuid} +add +SUCCESS +\d+s .* 42 *\r\n", terminal(stack, "watch", uuid))


def test_watch_and_events_follow_what_happens_until_ctrl_c(stack: Stack) -> None:
    env = {"DISPATCHER_URL": stack.url}
    begin = stack.get(f"/status/{stack.dispatch('add', 1, 1)}/events").json()["events"][0]["id"]
    following = ["-c", CODE, "events", "--follow", "--after", str(begin), "--json"]
    events = stack.processes.start("events", following, env=env)
    searches = stack.web.output().count("GET /status 200")
    watch = stack.processes.start("watch", ["-c", CODE, "watch", "--label", "run=watched"], env=env)
    eventually(lambda: stack.web.output().count("GET /status 200") > searches)
    uuid = stack.dispatch("add", 1, 1, options={"labels": {"run": "watched"}})
    watch.wait_until_it_says(rf"{uuid}  add  SUCCESS  2")
    events.wait_until_it_says(rf'"job": "{uuid}", "at": "[^"]+", "kind": "SUCCESS"')
    for running, code in ((watch, 0), (events, 130)):
        running.send(signal.SIGINT)
        assert running.wait() == code
        assert "Traceback" not in running.output()
