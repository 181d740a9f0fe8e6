"""Answers of a stubbed service about four jobs."""

from ..client.stub import JOB, Answer

RUNNING, FAILED, DONE, UNKNOWN = (f"01a20a87-952e-7637-b259-00000000000{n}" for n in range(4))
ERROR = {"type": "RuntimeError", "message": "Oh no.", "traceback": ""}
STILL_STARTED = f"Error: Job {RUNNING} (add) is still STARTED after 0.05 s.\n"
OH_NO = f"Error: Job {FAILED} (add) failed: RuntimeError: Oh no.\n"
NO_SUCH_JOB = "Error: No job has that UUID.\n"
running = Answer(body={**JOB, "uuid": RUNNING, "state": "STARTED"}, headers={"Preference-Applied": "wait"})
failed = Answer(body={**JOB, "uuid": FAILED, "state": "FAILURE", "error": ERROR})
done = Answer(body={**JOB, "uuid": DONE})
unknown = Answer(
    404, {"type": "urn:pacifica-dispatcher:problem:unknown-job", "status": 404, "detail": NO_SUCH_JOB[7:-1]}
)
