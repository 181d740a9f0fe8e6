"""Fills the tables with jobs as the service would have left them: most have ended, each with its history."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from .stores import Store

TASKS = (*["add"] * 4, *["mul"] * 3, *["sleep"] * 2, "fail")
"""Of ten jobs one after the other."""
AT_ONCE = 50_000
JOB = (
    *("uuid", "task", "args", "kwargs", "eta", "state", "attempt", "retries", "max_attempts", "result", "error"),
    *("headers", "caller", "labels", "worker", "holder", "cancel", "claim", "version"),
    *("created", "due", "published", "started", "finished"),
)
EVENT = ("job", "at", "kind", "data")
LABEL = ("name", "value", "created", "job")
DAYS = 30
"""They were made one after the other in so many days."""
BATCHES = 20
"""Values of the label ``batch``, which three of ten jobs have."""
WAITING = 1000
"""Jobs that were sent, and that nobody has claimed; the same, however many have ended."""
DAY = 86_400_000_000
HOURS = DAY // 12
"""Since the last of those that have ended."""
ERROR = (
    '{"type":"RuntimeError","message":"It was asked to fail.","traceback":"'
    + '  File \\"/srv/dispatcher/tasks.py\\", line 79, in fail\\n    raise RuntimeError(message)\\n' * 5
    + '","module":"builtins","arguments":["It was asked to fail."]}'
)
STARTED = '{"attempt":1,"worker":"celery@bench"}'
FAILED = '{"type":"RuntimeError","message":"It was asked to fail."}'
HOLDER = "01a20000-0000-7000-8000-000000000001"


@dataclass
class Filling:
    """``ended`` jobs, two in a hundred of which wait for a time far ahead instead, and ``WAITING`` that were sent."""

    ended: int
    now: int
    """The moment, in microseconds, before which all of them were made."""
    sample: list[str] = field(default_factory=list)
    """Some of the newer half of those that were put, at random."""
    middle: tuple[int, str] = (0, "")
    """When the one in the middle was made, and its UUID."""

    def put(self, store: Store) -> None:
        """Into tables that are there, and empty."""
        jobs = self.jobs()
        while some := list(islice(jobs, AT_ONCE)):
            store.put("job", JOB, (tuple(job.values()) for job in some))
            store.put("event", EVENT, (event for job in some for event in _events(job)))
            store.put("label", LABEL, (label for job in some for label in _labels(job)))
            self._remember(some)
        store.settle()

    def _remember(self, some: Sequence[dict[str, Any]]) -> None:
        half = self.now - HOURS - DAYS * DAY // 2
        newer = [job for job in some if job["created"] >= half and job["finished"]]
        if newer and not self.sample:
            self.middle = newer[0]["created"], newer[0]["uuid"]
        self.sample += [job["uuid"] for job in newer[:: max(1, self.ended // 4000)]]

    def jobs(self) -> Iterator[dict[str, Any]]:
        """All of them, oldest first, by the names of their columns; the same at each call."""
        chance = random.Random(1)
        for number in range(self.ended):
            age = (self.ended - number) * DAYS * DAY // self.ended
            yield _job(chance, number, self.now - HOURS - age, "waits later" if number % 50 == 7 else "")
        for number in range(WAITING):
            yield _job(chance, number, self.now - 1_000_000 + number, "sent")


def put_lost(store: Store, number: int, now: int) -> None:
    """So many jobs that a worker has in hand which nobody knows: it died, and signed off nowhere."""
    chance = random.Random(now)
    jobs = [_job(chance, index, now - 3_600_000_000 + index, "sent") for index in range(number)]
    for job in jobs:
        job |= {"state": "STARTED", "task": "add", "attempt": 1, "version": 2, "labels": None}
        job |= {"holder": HOLDER, "claim": _uuid7(chance, now), "started": now - 3_000_000_000}
    store.put("job", JOB, [tuple(job.values()) for job in jobs])
    store.put("event", EVENT, [event for job in jobs for event in _events(job)])


def _job(chance: random.Random, number: int, created: int, how: str) -> dict[str, Any]:
    kind = int(chance.random() * 100)
    state = "PENDING" if how else "REVOKED" if kind == 0 else "FAILURE" if kind < 5 else "SUCCESS"
    ran = state in {"SUCCESS", "FAILURE"}
    return {
        "uuid": _uuid7(chance, created),
        "task": TASKS[number % 10],
        "args": f"[{number},{number + 1}]",
        "kwargs": "{}",
        "eta": created + 400 * DAY if how == "waits later" else None,
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
        "due": created + 400 * DAY if how == "waits later" else None,
        "published": None if how == "waits later" else created + 4000,
        "started": created + 9000 if ran else None,
        "finished": None if how else created + 12_000,
    }


def _uuid7(chance: random.Random, created: int) -> str:
    """Of that moment, as RFC 9562 has it: in order of time, so that the database's trees grow at their end."""
    text = f"{created // 1000:012x}{0x7000 | created % 1000:04x}{0x8000000000000000 | chance.getrandbits(62):016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _events(job: dict[str, Any]) -> Iterator[Sequence[Any]]:
    yield job["uuid"], job["created"], "PENDING", None
    if job["started"]:
        yield job["uuid"], job["started"], "STARTED", STARTED
    if job["finished"]:
        data = {"SUCCESS": None, "FAILURE": FAILED, "REVOKED": '{"reason":"cancelled"}'}[job["state"]]
        yield job["uuid"], job["finished"], job["state"], data


def _labels(job: dict[str, Any]) -> Iterator[Sequence[Any]]:
    if job["labels"]:
        yield "batch", job["labels"][10:-2], job["created"], job["uuid"]
