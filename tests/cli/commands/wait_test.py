"""``wait`` for several jobs."""

import json

from ...client.stub import Stub
from ..conftest import Run
from ..jobs import DONE, FAILED, NO_SUCH_JOB, OH_NO, RUNNING, STILL_STARTED, UNKNOWN, done, failed, running, unknown


def test_wait_reports_each_job_despite_faults_of_others(stub: Stub, invoke_on_stub: Run) -> None:
    stub.will(running, failed, unknown, done, running)
    ran = invoke_on_stub("wait", RUNNING, FAILED, UNKNOWN, DONE, FAILED, "--timeout", "0.05")
    assert ran.stdout == f"{FAILED} FAILURE\n{DONE} SUCCESS\n"
    assert (ran.stderr, ran.returncode) == (NO_SUCH_JOB + STILL_STARTED + OH_NO, 2)


def test_exit_code_of_a_timeout_precedes_that_of_a_failed_job(stub: Stub, invoke_on_stub: Run) -> None:
    stub.will(running, failed, running)
    ran = invoke_on_stub("wait", RUNNING, FAILED, "--timeout", "0.05", "--json")
    assert [json.loads(line)["state"] for line in ran.stdout.splitlines()] == ["FAILURE", "STARTED"]
    assert (ran.stderr, ran.returncode) == (STILL_STARTED + OH_NO, 4)
