"""``dispatch``: its arguments, its output, and how it waits."""

import json
import re
import signal

from ...client.stub import JOB, Answer, Stub, stubbed
from ...e2e.stack import Stack
from ...eventually import eventually
from ..conftest import CODE, Run
from ..jobs import RUNNING, STILL_STARTED, running
from ..outcome import UUID, assert_failed, output_of

ADD = Answer(body={"name": "add", "doc": "", "arguments": {}, "result": {}})


def test_dispatch_prints_a_uuid_that_other_commands_take(run_process: Run, invoke: Run) -> None:
    uuid = output_of(run_process("dispatch", "add", "2", "-2", "-l", "run=17", "-o", "priority=9"))
    assert re.fullmatch(UUID, uuid)
    assert output_of(run_process("wait", uuid, "--timeout", "30")) == f"{uuid} SUCCESS"
    assert output_of(run_process("result", uuid)) == "0"
    shown = output_of(run_process("status", uuid))
    assert re.search(r"^state +SUCCESS *$", shown, re.MULTILINE)
    assert re.search(r"^arguments +2, -2 *$", shown, re.MULTILINE)
    assert re.search(r"^labels +run=17 *$", shown, re.MULTILINE)
    job = json.loads(output_of(invoke("status", uuid, "--json")))
    assert (job["uuid"], job["result"], job["priority"]) == (uuid, 0, 9)
    events = [line.split("  ") for line in output_of(run_process("events", uuid)).splitlines()]
    assert [event[3] for event in events] == ["PENDING", "STARTED", "SUCCESS"]
    after = output_of(invoke("events", uuid, "--after", events[0][0], "--json")).splitlines()
    assert [json.loads(line)["kind"] for line in after] == ["STARTED", "SUCCESS"]


def test_arguments_have_the_types_of_the_task_and_wait_prints_the_result(invoke: Run) -> None:
    assert output_of(invoke("dispatch", "lab.greet", "5", "-k", "loud=true", "--wait")) == "Hello, 5!"
    job = json.loads(output_of(invoke("dispatch", "echo", '{"a": [1]}', "--wait", "30", "--json")))
    assert (job["state"], job["args"], job["result"]) == ("SUCCESS", ['{"a": [1]}'], '{"a": [1]}')


def test_failed_job_ends_commands_with_exit_code_1(run_process: Run, invoke: Run) -> None:
    assert_failed(
        run_process("dispatch", "fail", "Oh no.", "--wait"),
        1,
        "(fail) failed at pacifica/dispatcher/worker/builtin_tasks.py:",
    )
    ran = invoke("dispatch", "fail", "--wait", "--json")
    assert (ran.returncode, json.loads(ran.stdout)["state"]) == (1, "FAILURE")
    uuid = json.loads(ran.stdout)["uuid"]
    assert_failed(invoke("result", uuid, "--json"), 1, "It was asked to fail.")
    waited = invoke("wait", uuid)
    assert (waited.returncode, waited.stdout) == (1, f"{uuid} FAILURE\n")


def test_ctrl_c_reports_that_the_job_goes_on(stack: Stack) -> None:
    pending = Answer(200, {**JOB, "state": "PENDING"}, {"Retry-After": "60"})
    with stubbed([ADD, pending]) as stub:
        command = ["-c", CODE, "dispatch", "add", "1", "1", "--wait", "--url", stub.url]
        waiting = stack.processes.start("wait", command)
        eventually(lambda: len(stub.requests) == 3)
        waiting.send(signal.SIGINT)
        assert waiting.wait() == 130
    assert waiting.output() == f"\nJob {JOB['uuid']} goes on.\n"


def test_json_prints_a_job_that_has_not_ended_in_time(stub: Stub, invoke_on_stub: Run) -> None:
    stub.will(ADD, running)
    ran = invoke_on_stub("dispatch", "add", "2", "2", "--wait", "0.05", "--json")
    assert (json.loads(ran.stdout)["uuid"], ran.returncode) == (RUNNING, 4)
    assert ran.stderr == STILL_STARTED
