"""The part of ``doctor`` that anybody can do who reaches the server: one job sent over HTTP, and followed."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError

from ....client.connection import Bearer
from ....core import strict_json
from ...exit_codes import Exit
from .checks import Finding, bad, good, skipped
from .local_checks import START_WORKER, Premises

ANSWER = 5.0
"""Seconds that the server may take for one answer."""
POLL = 0.02
"""Seconds between two looks at the canary."""
FINAL = ("SUCCESS", "FAILURE", "REVOKED")
PROBLEM = "urn:pacifica-dispatcher:problem:"
MAKE_ONE = (
    "Make a token where the service runs (pacifica-dispatcher-cmd token create --name doctor --scope read "
    "--scope cancel --scope dispatch:{task} --expires 1h), and give it as DISPATCHER_TOKEN."
)
ADVICE: Mapping[str, str] = {
    "unauthorized": MAKE_ONE,
    "missing-scope": MAKE_ONE,
    "foreign-host": "Name it in [auth] hosts of the server, or ask the server by a name that is there.",
    "unknown-task": "Name a task that the server has with --task; GET /tasks lists them.",
    "bad-arguments": "Give the task's arguments with --args.",
    "cannot-start": "It is the right server. Read its log (under systemd: journalctl -u dispatcher-web): it says there "
    "what it lacks, such as dbsync, the database or a task module.",
    "database-unavailable": "Start the database that the server uses, or correct its [database] peewee_url.",
}
"""What to do, by the code of the problem that the server answers."""


@dataclass(frozen=True)
class Flight:
    """What is sent where: the canary's task and arguments, its queue, and how many seconds a stage may take."""

    url: str
    bearer: Bearer
    task: str
    args: Sequence[Any]
    queue: str | None
    timeout: float


class Canary:
    """Flies once; ``premises`` knows more of the service where that is on this machine."""

    def __init__(self, flight: Flight, premises: Premises | None) -> None:
        self._flight = flight
        self._premises = premises
        self._session = requests.Session()
        self._session.auth = flight.bearer
        self._job: dict[str, Any] = {}

    def fly(self) -> Iterator[Finding]:
        """Each stage as it is reached; none behind one without which there is nothing to see."""
        began = time.monotonic()
        for stage in (self._server, self._ready, self._accepted, self._recorded, self._sent, self._taken, self._done):
            finding = stage()
            yield finding
            if finding.ending and stage not in (self._ready, self._recorded):
                self._recall()
                return
        yield good("seen", "over HTTP; this is how long all of its way took", time.monotonic() - began)

    def _server(self) -> Finding:
        began = time.monotonic()
        try:
            answer = self._ask("GET", "/health/live")
        except requests.RequestException as error:
            return bad("server", *self._why_no_answer(error), ending=Exit.UNREACHABLE)
        took = time.monotonic() - began
        if _code(answer):
            return self._refusal("server", answer)
        if _json(answer).get("status") != "ok":
            who = answer.headers.get("Server", "no name")
            told = f"something else answers at {self._flight.url} (HTTP {answer.status_code}, {who})"
            advice = "Another program uses the port: start the server at another one (-p), and name that with --url."
            return bad("server", told, advice, Exit.UNREACHABLE)
        with suppress(requests.RequestException):
            version = _json(self._ask("GET", "/")).get("version", "")
            return good("server", f"Pacifica Dispatcher {version} at {self._flight.url}".replace("  ", " "), took)
        return good("server", f"Pacifica Dispatcher at {self._flight.url}", took)

    def _ready(self) -> Finding:
        began = time.monotonic()
        try:
            seen = _json(self._ask("GET", "/health/ready"))
        except requests.RequestException as error:
            return bad("ready", *self._why_no_answer(error))
        took = time.monotonic() - began
        if seen.get("status") == "ok":
            return good("ready", "it accepts jobs, and finds all its parts well", took)
        checks = seen.get("checks", {})
        faults = {name: check["message"] for name, check in checks.items() if check.get("message")}
        told = "; ".join(f"{name}: {message}" for name, message in faults.items())
        if seen.get("status") == "degraded":  # Whether that still holds is for the canary to find out.
            return good("ready", f"it accepts jobs, and says of its parts: {told}", took)
        advice = f"Mend its {' and its '.join(faults) or 'parts'}; docs/operations.md tells how."
        return bad("ready", told or f"HTTP {seen.get('status', 'without a verdict')}", advice)

    def _accepted(self) -> Finding:
        flight = self._flight
        options: dict[str, Any] = {"expires": 3 * flight.timeout + 60}
        if flight.queue is not None:
            options["queue"] = flight.queue
        began = time.monotonic()
        try:
            body = {"args": flight.args, "options": options}
            answer = self._ask("POST", f"/dispatch/{flight.task}", strict_json.dumps(body))
        except requests.RequestException as error:
            return bad("accepted", *self._why_no_answer(error))
        job = _json(answer)
        if answer.status_code not in (200, 202) or "uuid" not in job:
            return self._refusal("accepted", answer)
        self._job = job
        return good("accepted", f"{flight.task} is job {job['uuid']}", time.monotonic() - began)

    def _recorded(self) -> Finding:
        if self._premises is None:
            return skipped("recorded", "there is no configuration here")
        return self._premises.keeps(self._job["uuid"])

    def _sent(self) -> Finding:
        if self._until(lambda job: job["published"] or job["started"] or job["state"] in FINAL):
            return good("sent", "the broker has its message", self._between("created", "published"))
        told = f"it waited {self._flight.timeout:g} s for the broker"
        advice = "The server does not reach its broker: start that, or correct BROKER_URL or [celery] broker_url there."
        return bad("sent", told, advice, Exit.TIMED_OUT)

    def _taken(self) -> Finding:
        if self._until(lambda job: job["started"] or job["state"] in FINAL) and self._job["worker"]:
            return good("taken", f"by worker {self._job['worker']}", self._between("published", "started"))
        told = f"no worker took it within {self._flight.timeout:g} s"
        if self._premises is not None:
            return bad(
                "taken", told, self._premises.why_not_taken(self._job["task"], self._job["queue"]), Exit.TIMED_OUT
            )
        advice = (
            f"Start a worker where the service runs: {START_WORKER}. If one runs, it has another broker or database, "
            f"or does not listen to queue {self._job['queue'] or 'dispatcher'}: doctor tells which where it finds "
            "the configuration of the service."
        )
        return bad("taken", told, advice, Exit.TIMED_OUT)

    def _done(self) -> Finding:
        if not self._until(lambda job: job["state"] in FINAL):
            told = f"it still ran after {self._flight.timeout:g} s"
            return bad("done", told, "Give it more time with --timeout.", Exit.TIMED_OUT)
        job = self._job
        if job["state"] != "SUCCESS":
            error = job["error"] or {}
            told = f"it ended as {job['state']}: {error.get('type', '')}: {error.get('message', '')}"
            return bad("done", told, f"The task {job['task']} itself is at fault, or its worker was stopped.")
        return good(
            "done", f"its result is {strict_json.dumps(job['result'])[:60]}", self._between("started", "finished")
        )

    def _until(self, fact: Callable[[Mapping[str, Any]], object]) -> bool:
        """Look at the job until the fact holds, or the stage's time is up."""
        end = time.monotonic() + self._flight.timeout
        while not fact(self._job):
            if time.monotonic() > end:
                return False
            time.sleep(POLL)
            with suppress(requests.RequestException):
                seen = _json(self._ask("GET", f"/status/{self._job['uuid']}"))
                self._job = seen if "uuid" in seen else self._job
        return True

    def _between(self, earlier: str, later: str) -> float | None:
        """Seconds between two times of the job; the broker may deliver before its confirmation is noted."""
        begin, end = self._job[earlier], self._job[later]
        if begin is None or end is None:
            return None
        return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())

    def _recall(self) -> None:
        """What was given up is not to run later; where that is not allowed, it expires."""
        if self._job and self._job["state"] not in FINAL:
            with suppress(requests.RequestException):
                self._ask("DELETE", f"/status/{self._job['uuid']}")

    def _ask(self, method: str, path: str, body: str | None = None) -> requests.Response:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        data = None if body is None else body.encode()
        url = self._flight.url.rstrip("/") + path
        return self._session.request(method, url, data=data, headers=headers, timeout=ANSWER, allow_redirects=False)

    def _refusal(self, stage: str, answer: requests.Response) -> Finding:
        problem = _json(answer)
        told = f"HTTP {answer.status_code}: {problem.get('detail') or 'without a reason'}"
        advice = ADVICE.get(_code(answer), "The server's log tells more.").format(task=self._flight.task)
        return bad(stage, told, advice, Exit.REFUSED if 400 <= answer.status_code < 500 else Exit.FAILED)

    def _why_no_answer(self, error: requests.RequestException) -> tuple[str, str]:
        """What kept the answer away, and what to do."""
        url = self._flight.url
        if isinstance(error, requests.Timeout):
            return (
                f"{url} does not answer within {ANSWER:g} s",
                "Look whether the server hangs, or a firewall is between.",
            )
        if isinstance(error, requests.exceptions.SSLError):
            return (
                f"{url} does not speak TLS as it should ({error})",
                "Try http:// with --url, or mend its certificate.",
            )
        cause = error.args[0] if error.args else error
        reason = cause.reason if isinstance(cause, MaxRetryError) else cause
        if isinstance(reason, NameResolutionError):
            return f"there is no host of the name in {url}", "Correct --url (DISPATCHER_URL)."
        if isinstance(reason, NewConnectionError):
            start = "python -m pacifica.dispatcher, or all at once pacifica-dispatcher-cmd up"
            return f"nothing listens at {url}", f"Start the server ({start}), or name its address with --url."
        return (
            f"something else listens at {url}: it does not speak HTTP",
            "Another program uses the port: start the server at another one (-p), and name that with --url.",
        )


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        value = strict_json.loads(answer.content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _code(answer: requests.Response) -> str:
    """The code of one of our problems; empty for any other answer."""
    kind = str(_json(answer).get("type", ""))
    return kind.removeprefix(PROBLEM) if kind.startswith(PROBLEM) else ""
