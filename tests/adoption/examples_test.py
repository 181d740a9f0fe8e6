"""The projects of ``examples/`` run unchanged without and with the dispatcher, on RabbitMQ and Redis."""

from typing import Any

import pytest

from ..docs.readme_test import blocks, session, shell
from ..eventually import eventually
from ..services import RABBITMQ, REDIS
from .example import EXAMPLES, FOLDER, Project

DISPATCHERS_OWN = "pacifica.dispatcher.tasks"
BUILT_IN = {"add", "fail", "mul", "sleep"}


def only(name: str, *brokers: str) -> pytest.MarkDecorator:
    """Run a test with one project alone."""
    cases = [(name, broker) for broker in brokers or (RABBITMQ, REDIS)]
    return pytest.mark.parametrize("project", cases, indirect=True, ids="-".join)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_names_the_dispatcher_in_its_readme_alone(name: str) -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (FOLDER / name).rglob("*.py")}
    assert len(sources) > 3
    assert [path for path, text in sources.items() if "pacifica" in text or "dispatcher" in text] == []


def test_client_that_knows_nothing_of_the_dispatcher_sends_jobs(project: Project) -> None:
    project.use_own_worker()
    assert project.outcomes(project.sent) == project.expected_in_the_record()


def test_client_that_has_adopted_the_application_gets_the_results(project: Project) -> None:
    project.use_own_worker()
    assert project.adopted_client() == project.expected()


def test_http_dispatches_have_the_results_of_the_client(project: Project) -> None:
    project.use_own_worker()
    assert project.outcomes(project.dispatched) == project.expected_in_the_record(project.example.calls)


def test_curl_lines_of_the_readme_print_what_it_shows(project: Project) -> None:
    project.use_own_worker()
    uuid, lines = "", blocks("console", project.example.readme)[0].replace("http://127.0.0.1:8050", project.stack.url)
    for command, shown in session(lines):
        if command.startswith("UUID="):
            uuid = shell(f"{command}\necho $UUID").strip()
            assert project.stack.ended(uuid)["state"] == "SUCCESS"
        else:
            assert shell(f"UUID={uuid}\n{command}") == shown


def problem(project: Project, task: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the problem with which a dispatch is refused, as a mapping of places to messages."""
    answer = project.stack.request("POST", f"/dispatch/{task}", json={"args": args, "kwargs": kwargs})
    assert answer.status_code == 422, answer.text
    return {error["where"]: error["message"] for error in answer.json()["errors"]}


@only("plain_app", RABBITMQ)
def test_http_checks_arguments_by_the_signature(project: Project) -> None:
    assert problem(project, "proj.tasks.calibrate", "far") == {"offset": "should be a valid number"}
    assert list(problem(project, "proj.tasks.add", 2)) == ["y"]
    assert list(problem(project, "proj.tasks.remind", "Ada", "2027-01-01", 14)) == ["argument 3"]


@only("plain_app")
def test_own_states_results_and_hooks_of_the_project_are_kept(project: Project) -> None:
    project.use_own_worker()
    ids = project.sent
    scan, failed = (project.ended(ids[name]) for name in ("scan", "calibrate_too_far"))
    assert (scan["progress"]["state"], scan["progress"]["total"]) == ("SCANNING", 3)
    journal = project.processes.cwd / "failures.log"
    assert f"{failed['uuid']} proj.tasks.calibrate(2.5,): offset 2.5 is too large\n" in journal.read_text()
    assert scan["max_attempts"] == 1, "Celery acknowledges early, so nothing is started twice"


@only("plain_app", REDIS)
def test_job_whose_result_is_ignored_succeeds_with_null(project: Project) -> None:
    project.use_own_worker()
    text = f"line {project.broker}"
    job = project.ended(project.stack.dispatch("proj.tasks.note", text))
    assert (job["state"], job["result"]) == ("SUCCESS", None)
    assert text in (project.processes.cwd / "notes.log").read_text().splitlines()


@only("workflows")
def test_jobs_keep_queue_retries_expiry_and_late_acknowledgement(project: Project) -> None:
    project.use_own_worker()
    sent, dispatched = project.sent, project.dispatched
    assert project.ended(sent["stock"])["queue"] == "images"
    for ids in (sent, dispatched):
        letter, newsletter, total, stock = (
            project.ended(ids[name]) for name in ("letter", "newsletter", "total", "stock")
        )
        assert (letter["retries"], letter["result"]["queue"]) == (2, "mail.outgoing")
        assert newsletter["expires"] is not None
        assert (total["max_attempts"], stock["max_attempts"]) == (1, 3)


@only("workflows")
def test_error_callback_runs_for_the_failed_step_of_a_chain(project: Project) -> None:
    project.use_own_worker()
    last = project.ended(project.sent["order_unpaid"])
    found = project.stack.get("/status?task=shop.orders.charge&state=FAILURE").json()["jobs"]
    assert (last["task"], last["error"]["type"]) == ("shop.orders.receipt", "PermissionError")
    letters = project.processes.cwd / "apologies.log"
    eventually(lambda: f"{found[0]['uuid']} the bank refuses the card\n" in letters.read_text(), 20)


@only("django_layout")
def test_job_of_delay_on_commit_has_a_row(project: Project) -> None:
    project.use_own_worker()
    project.outcomes(project.sent)
    lent = project.ended(project.stack.dispatch("library.tasks.lend", "Emma", "Ada"))
    assert lent["result"] == "Emma"
    eventually(lambda: [job for job in indexed(project) if job["created"] > lent["created"]], 20)


def indexed(project: Project) -> list[dict[str, Any]]:
    """Return the successful jobs that update the catalogue."""
    found: list[dict[str, Any]] = project.stack.get("/status?task=library.tasks.index&state=SUCCESS").json()["jobs"]
    return found


def test_catalogue_has_every_task_of_the_project(project: Project) -> None:
    listed = {task["name"] for task in project.stack.get("/tasks").json()["tasks"]}
    assert listed - BUILT_IN == project.example.tasks


def test_worker_of_the_dispatcher_runs_the_tasks_of_the_project(project: Project) -> None:
    project.use_worker(DISPATCHERS_OWN)
    sent, dispatched = project.send(), project.dispatch()
    assert project.outcomes(sent) == project.expected_in_the_record()
    assert project.outcomes(dispatched) == project.expected_in_the_record(project.example.calls)
