"""Fills the tables with jobs as the service would have left them: most have ended, each with its history."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from .stores import Store

TASKS = (*["add"] * 4, *["mul"] * 3, *["sleep"] * 2, "fail")
"""The tasks of ten jobs in a row."""
CHUNK = 50_000
"""Jobs per transaction."""
JOB = (
    *("uuid", "task", "args", "kwargs", "eta", "state", "attempt", "retries", "max_attempts", "result", "error"),
    *("headers", "caller", "labels", "worker", "holder", "cancel", "claim", "version"),
    *("created", "due", "published", "started", "finished"),
)
EVENT = ("job", "at", "kind", "data")
LABEL = ("name", "value", "created", "job")
DAY = 86_400_000_000
AGE = 30 * DAY
"""The jobs are spread over so much time, the last of them two hours old."""
BATCHES = 20
"""Values of the label ``batch``, which three of ten jobs have."""
ERROR = (
    '{"type":"RuntimeError","message":"It was asked to fail.","traceback":"'
    + '  File \\"/srv/dispatcher/tasks.py\\", line 79, in fail\\n    raise RuntimeError(message)\\n' * 5
    + '","module":"builtins","arguments":["It was asked to fail."]}'
)
DATA = {
    "STARTED": '{"attempt":1,"worker":"celery@bench"}',
    "FAILURE": '{"type":"RuntimeError","message":"It was asked to fail."}',
    "REVOKED": '{"reason":"cancelled"}',
}
HOLDER = "01a20000-0000-7000-8000-000000000001"


@dataclass
class Filling:
    """So many ``jobs``; of a hundred, two wait for a time far in the future, and the others have ended."""

    jobs: int
    now: int
    """The moment in microseconds before which all jobs were created."""
    sample: list[str] = field(default_factory=list)
    """UUIDs of some of the newer half."""
    middle: tuple[int, str] = (0, "")
    """When the job in the middle was created, and its UUID."""

    def insert(self, store: Store) -> None:
        """Insert the jobs into empty tables."""
        jobs = self._jobs()
        while chunk := list(islice(jobs, CHUNK)):
            store.insert("job", JOB, (tuple(job.values()) for job in chunk))
            store.insert("event", EVENT, (event for job in chunk for event in _events(job)))
            store.insert("label", LABEL, (label for job in chunk for label in _labels(job)))
            self._remember(chunk)
        store.settle()

    def _remember(self, chunk: Sequence[dict[str, Any]]) -> None:
        newer = [job for job in chunk if job["created"] >= self.now - AGE // 2 and job["finished"]]
        if newer and not self.sample:
            self.middle = newer[0]["created"], newer[0]["uuid"]
        self.sample += [job["uuid"] for job in newer[:: max(1, self.jobs // 4000)]]

    def _jobs(self) -> Iterator[dict[str, Any]]:
        """Yield all jobs, oldest first, by the names of their columns."""
        chance = random.Random(1)
        for number in range(self.jobs):
            age = (self.jobs - number) * AGE // self.jobs
            yield _job(chance, number, self.now - DAY // 12 - age, waits=number % 50 == 7)


def _job(chance: random.Random, number: int, created: int, *, waits: bool) -> dict[str, Any]:
    kind = int(chance.random() * 100)
    state = "PENDING" if waits else "REVOKED" if kind == 0 else "FAILURE" if kind < 5 else "SUCCESS"
    ran = state in {"SUCCESS", "FAILURE"}
    eta = created + 400 * DAY if waits else None
    return {
        "uuid": _uuid7(chance, created),
        "task": TASKS[number % 10],
        "args": f"[{number},{number + 1}]",
        "kwargs": "{}",
        "eta": eta,
        "state": state,
        "attempt": int(ran),
        "retries": 0,
        "max_attempts": 3,
        "result": str(2 * number + 1) if state == "SUCCESS" else None,
        "error": ERROR if state == "FAILURE" else None,
        "headers": f'{{"request_id":"{chance.getrandbits(64):016x}"}}',
        "caller": "",
        "labels": f'{{"batch":"{number % BATCHES}"}}' if chance.random() < 0.3 else None,
        "worker": "celery@bench" if ran else None,
        "holder": HOLDER if ran else None,
        "cancel": 0,
        "claim": _uuid7(chance, created) if ran else None,
        "version": 3 if ran else 1,
        "created": created,
        "due": eta,
        "published": None if waits else created + 4000,
        "started": created + 9000 if ran else None,
        "finished": None if waits else created + 12_000,
    }


def _uuid7(chance: random.Random, created: int) -> str:
    """Return a UUID of that moment (RFC 9562, version 7): in order of time, so that indexes grow at their end."""
    text = f"{created // 1000:012x}{0x7000 | created % 1000:04x}{0x8000000000000000 | chance.getrandbits(62):016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _events(job: dict[str, Any]) -> Iterator[Sequence[Any]]:
    yield job["uuid"], job["created"], "PENDING", None
    if job["started"]:
        yield job["uuid"], job["started"], "STARTED", DATA["STARTED"]
    if job["finished"]:
        yield job["uuid"], job["finished"], job["state"], DATA.get(job["state"])


def _labels(job: dict[str, Any]) -> Iterator[Sequence[Any]]:
    if job["labels"]:
        yield "batch", job["labels"][10:-2], job["created"], job["uuid"]
