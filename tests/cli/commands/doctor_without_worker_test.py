"""``doctor`` on a job that came to a worker which lacks its task."""

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pacifica.dispatcher.cli.commands.doctor.checks import StageVerdict
from pacifica.dispatcher.cli.commands.doctor.local_checks import LocalChecks
from pacifica.dispatcher.cli.commands.doctor.probe_job import Probe, ProbeChecks
from pacifica.dispatcher.cli.exit_codes import Exit
from pacifica.dispatcher.client import ProbeStage
from pacifica.dispatcher.core.job import now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from ...store.conftest import a_job


def lacking(jobs: JobStore, task: str, worker: str) -> None:
    """Store a job whose message came to a worker without its task."""
    job = a_job(task=task)
    jobs.add([job])
    assert jobs.lacks_task(job.uuid, task=task, worker=worker, retries=0, at=now())


def test_doctor_names_the_tasks_that_no_worker_has(tmp_path: Path, sqlite_url: str) -> None:
    config = tmp_path / "config.ini"
    config.write_text(f"[database]\npeewee_url = {sqlite_url}\n[celery]\nbroker_url = database://\n")
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        jobs = JobStore(database)
        jobs.add([a_job()])
        assert [finding.stage for finding in LocalChecks(config).run()][-1] == "broker"
        lacking(jobs, "lab.convert", "celery@lab")
        assert list(LocalChecks(config).run())[-1].message.startswith(
            "1 job of lab.convert came to a worker that lacks"
        )
        assert list(LocalChecks(config).run())[-1].message.endswith("the task, and waits")
        for task in ("lab.convert", "lab.scan"):
            lacking(jobs, task, "celery@lab")
    found = list(LocalChecks(config).run())[-1]
    assert (found.stage, found.verdict) == ("tasks", StageVerdict.REMARK)
    assert found.message == "3 jobs of lab.convert, lab.scan came to a worker that lacks the task, and wait"
    assert "[dispatcher] tasks" in found.advice


def test_doctor_says_that_the_worker_lacks_the_task_of_the_probe_job() -> None:
    error = SimpleNamespace(message="Worker celery@lab has no task lab.convert.")
    job = SimpleNamespace(error=error, task="lab.convert", uuid="u", document={"queue": None})
    stages = [ProbeStage("committed", True, job), ProbeStage("started", False, job)]  # type: ignore[arg-type]
    client: Any = SimpleNamespace(
        url="http://127.0.0.1:1",
        connection=SimpleNamespace(
            send=lambda *_, **__: SimpleNamespace(content=b'{"status": "ok"}', status_code=200, headers={}),
            json=lambda *_: {},
        ),
        ready=lambda: SimpleNamespace(status="ok"),
        probe_job=lambda *_, **__: iter(stages),
    )
    *_, found = ProbeChecks(client, Probe("lab.convert", [], None, 1), None).run()
    assert (found.stage, found.ending) == ("taken", Exit.TIMED_OUT)
    assert found.message == "no worker took it within 1 s: Worker celery@lab has no task lab.convert."
    assert "[dispatcher] tasks" in found.advice
