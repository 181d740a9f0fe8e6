"""``status`` of several jobs."""

import json

from ...client.stub import Stub
from ..conftest import Run
from ..jobs import DONE, FAILED, NO_SUCH_JOB, UNKNOWN, done, failed, unknown


def test_status_shows_known_jobs_despite_an_unknown_one(stub: Stub, invoke_on_stub: Run) -> None:
    stub.will(done, unknown, failed)
    ran = invoke_on_stub("status", DONE, UNKNOWN, FAILED, "--json")
    assert [json.loads(line)["uuid"] for line in ran.stdout.splitlines()] == [DONE, FAILED]
    assert (ran.stderr, ran.returncode) == (NO_SUCH_JOB, 2)
    stub.will(done, unknown)
    ran = invoke_on_stub("status", DONE, UNKNOWN)
    assert [line.split()[0] for line in ran.stdout.splitlines()] == ["UUID", DONE]
