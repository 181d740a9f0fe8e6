"""``cancel`` and ``retry``."""

from ...client.stub import Answer, Stub
from ..conftest import Run
from ..jobs import DONE, UNKNOWN
from ..outcome import assert_failed, output_of


def test_cancelled_job_is_revoked_and_can_be_retried(run_process: Run, invoke: Run) -> None:
    uuid = output_of(invoke("dispatch", "add", "1", "2", "-o", "countdown=600"))
    assert_failed(invoke("result", uuid), 4, f"Job {uuid} (add) is still PENDING.")
    assert_failed(run_process("wait", uuid, "--timeout", "0.1"), 4, "is still PENDING after 0.1 s.")
    assert output_of(run_process("cancel", uuid)) == f"{uuid} REVOKED"
    again = output_of(run_process("retry", uuid, "--key", "once"))
    assert output_of(invoke("retry", uuid, "--key", "once")) == again
    assert output_of(invoke("wait", again)) == f"{again} SUCCESS"
    ran = invoke("cancel", again, uuid)
    assert (ran.returncode, ran.stdout) == (2, f"{uuid} REVOKED\n")
    assert "has ended as SUCCESS; there is nothing to cancel." in ran.stderr


def test_missing_token_is_reported_once_for_several_jobs(stub: Stub, invoke_on_stub: Run) -> None:
    stub.will(Answer(401, {"status": 401, "detail": "A token is missing."}))
    ran = invoke_on_stub("cancel", DONE, UNKNOWN)
    assert (ran.stderr, ran.returncode) == ("Error: A token is missing.\n", 2)
