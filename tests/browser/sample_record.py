"""Fills the record of a site with the work of a laboratory: a day of history, and jobs in each state."""

import random
from collections import defaultdict
from collections.abc import Iterator

from pacifica.dispatcher.core.job import JobError, State, now
from pacifica.dispatcher.store import job_minutes
from pacifica.dispatcher.store.job_minutes import ALL_TASKS, KEPT, EndedJobs, MinuteKey

from .site import Site, ended

RATES = {"weigh": 9.0, "calibrate": 0.6, "say": 4.0, "add": 2.5}
"""The jobs per minute of each task."""
SECONDS = {"weigh": 2.2, "calibrate": 0.8, "say": 0.03, "add": 0.004}
"""The usual run time of each task."""
DEVICES = ("thermostat 3", "balance B", "pump 12", "detector west")
HOURS = 24


def fill_history(site: Site, seed: int = 5) -> None:
    """Add the numbers of the jobs that ended in the last day, with a slow and failing hour."""
    draw, end = random.Random(seed), now() // 60_000_000 * 60
    found: dict[MinuteKey, EndedJobs] = defaultdict(EndedJobs)
    for back in range(1, HOURS * 60):
        start = end - back * 60
        for key, jobs in _minute(draw, start, troubled=180 < back < 230 or 5 < back < 12):
            for span in KEPT:
                for task in (key.task, ALL_TASKS):
                    found[MinuteKey(span, start // span * span, task, key.outcome)].add(jobs)
    site.database.write(lambda db: job_minutes.add(db, found))


def _minute(draw: random.Random, start: int, *, troubled: bool) -> Iterator[tuple[MinuteKey, EndedJobs]]:
    busy = 1.6 if 8 <= start // 3600 % 24 < 18 else 0.5
    for task, rate in RATES.items():
        for outcome in ("SUCCESS", "FAILURE"):
            failing = task == "calibrate" or (troubled and task == "weigh")
            share = (0.3 if failing else 0.0) if outcome == "FAILURE" else 0.7
            jobs = EndedJobs()
            for _ in range(round(draw.gauss(rate * busy * share, rate * 0.25)) if share else 0):
                wait = draw.lognormvariate(-3.5, 0.8) * (60 if troubled else 1)
                run = SECONDS[task] * draw.lognormvariate(0, 0.5) * (3 if troubled else 1)
                started = int(wait * 1_000_000)
                jobs.count(0, None, started, started + int(run * 1_000_000), 1, 0)
            if jobs.jobs:
                yield MinuteKey(60, start, task, outcome), jobs


def fill_jobs(site: Site, number: int = 300, seed: int = 5) -> None:
    """Add jobs that ended in the last hours."""
    draw = random.Random(seed)
    for index in range(number):
        age, labels = 40 + index * 37.0, {"run": str(4100 + index // 12), "site": draw.choice(("north", "south"))}
        person = draw.choice(("", "token:ada", "user:grace"))
        if index % 7 == 3:
            device = draw.choice(DEVICES)
            message = f"the drift of {device} is 0.7 mK, which is more than 0.5 mK"
            error = JobError("ValueError", message, "Traceback (most recent call last): …", at="samples.py:52")
            site.add(
                ended("calibrate", State.FAILURE, age=age, args=[device], error=error, labels=labels, caller=person)
            )
        else:
            sample = f"quartz {index}"
            masses = [round(10 + draw.random(), 3) for _ in range(8)]
            site.add(ended("weigh", State.SUCCESS, age=age, args=[sample], result=masses, labels=labels, caller=person))


def start_jobs(site: Site) -> dict[str, str]:
    """Dispatch jobs to the worker; returns their UUIDs by name, once all but ``running`` have ended."""
    stack = site.stack
    bodies = {
        "list": ("weigh", ["gold 7", 40]),
        "failed": ("calibrate", ["thermostat 3"]),
        "records": ("echo", [[{"device": name, "drift": 0.1 * len(name), "ok": len(name) < 12} for name in DEVICES]]),
        "pairs": ("echo", [[[t / 10, round(20 + 5 * random.Random(t).random() + t / 8, 2)] for t in range(120)]]),
        "text": ("say", ["All samples are back in the freezer."]),
        "running": ("heat", ["end-of-heat", 8]),
    }
    site.go_on("end-of-heat", 1, 2, 3, 4)
    found = {
        name: stack.dispatch(task, *args, options={"labels": {"run": "4126"}}) for name, (task, args) in bodies.items()
    }
    for name, uuid in found.items():
        if name != "running":
            stack.ended(uuid)
    return found
