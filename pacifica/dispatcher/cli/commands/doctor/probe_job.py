"""The checks of ``doctor`` over HTTP: the server, its readiness, and each stage of a probe job."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ....client import ClientError, DispatcherClient, NotReachable, ProbeStage, Problem, Refused, State
from ....client.values import TYPE_PREFIX
from ....core import strict_json
from ....core.redaction import without_login
from ...exit_codes import Exit
from .checks import Finding, bad, good, skipped
from .local_checks import GIVE_TASK, START_WORKER, LocalChecks

ANSWER = 5.0
"""Seconds that the server may take for one answer."""
ANY_STATUS = frozenset(range(100, 600))
AUTHENTICATE = (
    "Create a token where the service runs (pacifica-dispatcher-cmd token create --name doctor --scope read "
    "--scope cancel --scope dispatch:{task} --expires 1h), and pass it as DISPATCHER_TOKEN."
)
ADVICE: Mapping[str, str] = {
    "unauthorized": AUTHENTICATE,
    "missing-scope": AUTHENTICATE,
    "foreign-host": "Add the host name to [auth] hosts of the server, or use a name that is listed there.",
    "unknown-task": "Name a task of the server with --task; pacifica-dispatcher-cmd tasks lists them.",
    "bad-arguments": "Give the arguments of the task with --args.",
    "cannot-start": "This is the right server. Read its log (under systemd: journalctl -u dispatcher-web): it names "
    "the reason, such as a missing dbsync, the database or a task module.",
    "database-unavailable": "Start the database of the server, or correct its [database] peewee_url.",
}
"""The advice for each code of a problem that the server may answer."""

ANOTHER_PROGRAM = "Another program uses the port: start the server on another one (-p), and name it with --url."
NO_ANSWER: Mapping[str, tuple[str, str]] = {
    "timed-out": (f"{{url}} did not answer within {ANSWER:g} s", "Check the server and the firewalls in between."),
    "tls": ("the TLS connection to {url} failed ({error})", "Try http:// with --url, or repair its certificate."),
    "unknown-host": ("the host name in {url} is unknown", "Correct --url (DISPATCHER_URL)."),
    "refused": (
        "nothing listens at {url}",
        "Start the server (python -m pacifica.dispatcher; with a worker: pacifica-dispatcher-cmd up) or correct --url.",
    ),
    "broken": ("something else listens at {url}: it does not speak HTTP", ANOTHER_PROGRAM),
}
"""The reason and the advice for each kind of ``NotReachable`` without an answer."""


@dataclass(frozen=True)
class Probe:
    """The task, arguments and queue of the probe job, and the seconds that each of its stages may take."""

    task: str
    args: Sequence[Any]
    queue: str | None
    timeout: float


class ProbeChecks:
    """Checks a service once, with a ``client`` that does not retry; ``local`` adds checks of this machine."""

    def __init__(self, client: DispatcherClient, probe: Probe, local: LocalChecks | None) -> None:
        self._client = client
        self._url = without_login(client.url)
        self._probe = probe
        self._local = local
        self.worker = ""
        """The Celery name of the worker that took the probe job."""

    def run(self) -> Iterator[Finding]:
        """A finding for each stage until one fails that the following ones depend on."""
        began = time.monotonic()
        server = self._server()
        yield server
        if server.ending:
            return
        yield self._ready()
        finding = server
        for finding in self._job():
            yield finding
        if finding.stage == "done" and not finding.ending:
            yield good("seen", "over HTTP; this is the time of all stages together", time.monotonic() - began)

    def _server(self) -> Finding:
        connection = self._client.connection
        began = time.monotonic()
        try:
            answer = connection.send("GET", "/health/live", takes=ANY_STATUS)
        except ClientError as error:
            return bad("server", *self._why_no_answer(error), ending=Exit.UNREACHABLE)
        seconds = time.monotonic() - began
        problem = Problem.in_answer(answer.content, answer.status_code)
        if problem is not None and problem.type.startswith(TYPE_PREFIX):
            return self._refusal("server", problem)
        if not _is_alive(answer.content):
            name = answer.headers.get("Server", "without a name")
            message = f"something else answers at {self._url} (HTTP {answer.status_code}, {name})"
            return bad("server", message, ANOTHER_PROGRAM, Exit.UNREACHABLE)
        version = ""
        with suppress(ClientError, AttributeError):
            version = f" {connection.json('GET', '/').get('version', '')}".rstrip()
        return good("server", f"Pacifica Dispatcher{version} at {self._url}", seconds)

    def _ready(self) -> Finding:
        began = time.monotonic()
        try:
            verdict = self._client.ready()
        except ClientError as error:
            return self._failed_request("ready", error)
        seconds = time.monotonic() - began
        if verdict.status == "ok":
            return good("ready", "it accepts jobs, and all its parts are ok", seconds)
        checks = verdict.document.get("checks", {})
        faults = {name: check["message"] for name, check in checks.items() if check.get("message")}
        message = "; ".join(f"{name}: {text.removesuffix('.')}" for name, text in faults.items())
        if verdict.status == "degraded":  # The probe job will show whether this is still true.
            return good("ready", f"it accepts jobs, but some of its parts have problems: {message}", seconds)
        advice = f"Repair its {' and its '.join(faults) or 'parts'}; see docs/operations.md."
        return bad("ready", message or f"its verdict is {verdict.status}", advice)

    def _job(self) -> Iterator[Finding]:
        """The stages of the probe job; the client cancels it when a stage is not reached."""
        probe = self._probe
        render: Mapping[str, Callable[[ProbeStage], Finding]] = {
            "committed": self._accepted,
            "sent": self._sent,
            "started": self._taken,
            "done": self._done,
        }
        try:
            for stage in self._client.probe_job(probe.task, probe.args, queue=probe.queue, timeout=probe.timeout):
                yield render[stage.name](stage)
                if stage.name == "committed":
                    yield self._recorded(stage)
        except ClientError as error:
            yield self._failed_request("accepted", error)

    def _accepted(self, stage: ProbeStage) -> Finding:
        return good("accepted", f"{stage.job.task} is job {stage.job.uuid}", stage.seconds)

    def _recorded(self, stage: ProbeStage) -> Finding:
        if self._local is None:
            return skipped("recorded", "there is no configuration in this directory")
        return self._local.recorded(stage.job.uuid)

    def _sent(self, stage: ProbeStage) -> Finding:
        if stage.reached:
            return good("sent", "the broker has its message, or a worker its row", stage.seconds)
        if self._local is not None and self._local.row_queue:
            return self._taken(stage)
        message = f"it waited {self._probe.timeout:g} s for the broker"
        advice = (
            "The server cannot reach its broker: start it, or correct BROKER_URL or [celery] broker_url there. If that "
            f"is database://, start a worker: {START_WORKER}"
        )
        return bad("sent", message, advice, Exit.TIMED_OUT)

    def _taken(self, stage: ProbeStage) -> Finding:
        if stage.reached:
            self.worker = stage.job.worker or ""
            return good("taken", f"by worker {stage.job.worker}", stage.seconds)
        message, queue = f"no worker took it within {self._probe.timeout:g} s", stage.job.document.get("queue")
        if stage.job.error is not None:  # A worker received it and lacks the task.
            return bad("taken", f"{message}: {stage.job.error.message}", GIVE_TASK, Exit.TIMED_OUT)
        if self._local is not None:
            return bad("taken", message, self._local.why_not_taken(stage.job.task, queue), Exit.TIMED_OUT)
        advice = (
            f"Start a worker where the service runs: {START_WORKER}. If a worker is running, it uses another broker or "
            f"database, or does not listen to queue {queue or 'dispatcher'}: run doctor where the configuration of the "
            "service is, and it says which."
        )
        return bad("taken", message, advice, Exit.TIMED_OUT)

    def _done(self, stage: ProbeStage) -> Finding:
        job = stage.job
        if not stage.reached:
            message = f"it was still running after {self._probe.timeout:g} s"
            return bad("done", message, "Give it more time with --timeout.", Exit.TIMED_OUT)
        if job.state is not State.SUCCESS:
            reason = f": {job.error.type}: {job.error.message}" if job.error else ""
            advice = f"The task {job.task} itself failed, or its worker was stopped."
            return bad("done", f"it ended as {job.state}{reason}", advice)
        return good("done", f"its result is {strict_json.dumps(job.result)[:60]}", stage.seconds)

    def _failed_request(self, stage: str, error: ClientError) -> Finding:
        problem = error.problem if isinstance(error, (Refused, NotReachable)) else None
        if problem is not None:
            return self._refusal(stage, problem)
        return bad(stage, *self._why_no_answer(error))

    def _refusal(self, stage: str, problem: Problem) -> Finding:
        message = f"HTTP {problem.status}: {problem.detail}"
        advice = ADVICE.get(problem.code, "The log of the server has the details.").format(task=self._probe.task)
        return bad(stage, message, advice, Exit.REFUSED if 400 <= problem.status < 500 else Exit.FAILED)

    def _why_no_answer(self, error: ClientError) -> tuple[str, str]:
        """The reason why there is no usable answer, and what to do."""
        kind = error.kind if isinstance(error, NotReachable) else "unavailable"
        if kind not in NO_ANSWER:
            return str(error), "Check --url (DISPATCHER_URL), and the proxies between here and the server."
        reason, advice = NO_ANSWER[kind]
        return reason.format(url=self._url, error=error.__cause__), advice


def _is_alive(answer: bytes) -> bool:
    try:
        document = strict_json.loads(answer)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("status") == "ok"
