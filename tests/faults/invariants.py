"""The facts that hold after every fault: each accepted job ends once and stays so; errors are problem documents."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing

import peewee
import requests

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import FINAL, Job, State
from pacifica.dispatcher.store import mapping
from pacifica.dispatcher.store.database import Database

SOON = 2.0
"""Seconds in which every error is answered."""
ADDS_NOTHING = frozenset({"DROPPED", "LATE", "CANCEL"})
"""Events that may come at any time, even after the final one: they record a request or a late report."""
WAITS, RUNS = "waits", "runs"
MOVES = {
    State.STARTED: ({WAITS}, RUNS),
    "LOST": ({RUNS}, WAITS),
    "RETURNED": ({RUNS}, WAITS),
    "REFUSED": ({WAITS}, WAITS),
    State.RETRY: ({RUNS}, WAITS),
    State.SUCCESS: ({RUNS}, ""),
    State.FAILURE: ({RUNS}, ""),
    State.REVOKED: ({WAITS, RUNS}, ""),
}
"""Each event that is a transition: the situations in which it may come, and the situation after it."""
CHUNK = 500
READ_OVER_HTTP = 200
"""At most so many results are read over HTTP after a test, evenly spread over the jobs."""


class Record:
    """The jobs and their histories, read directly from the tables."""

    def __init__(self, peewee_url: str, uuids: Iterable[str]) -> None:
        self.jobs: dict[str, Job] = {}
        self.history: dict[str, list[str]] = {}
        wanted = list(uuids)
        with closing(Database(peewee_url)) as database:
            for start in range(0, len(wanted), CHUNK):
                database.read(lambda db, some=wanted[start : start + CHUNK]: self._read(db, some))

    def _read(self, db: peewee.Database, uuids: Collection[str]) -> None:
        columns = [getattr(orm.Job, name) for name in mapping.JOB_COLUMNS]
        for row in orm.Job.select(*columns).where(orm.Job.uuid.in_(uuids)).tuples().execute(db):
            job = mapping.job_from_row(row)
            self.jobs[job.uuid] = job
        events = orm.Event.select(orm.Event.job, orm.Event.kind).where(orm.Event.job.in_(uuids))
        for uuid, kind in events.order_by(orm.Event.id).tuples().execute(db):
            self.history.setdefault(uuid, []).append(kind)

    def times_run(self, uuid: str) -> int:
        """Return how often a worker started the job, without the claims that it returned before a start."""
        return self.history[uuid].count(State.STARTED) - self.history[uuid].count("RETURNED")


def check_record(peewee_url: str, answered: Iterable[str], web: str = "") -> Record:
    """Return the record, after checking each job whose UUID was answered.

    Its state is final, exactly one final event records it, no transition follows that event, every start has its
    reason (the first, a lost attempt, a retry), and SUCCESS has a readable result and no error.
    If a server answers at ``web``, the result is also read there.
    """
    answered = list(answered)
    assert len(set(answered)) == len(answered), "a UUID was answered twice"
    record = Record(peewee_url, answered)
    lost = [uuid for uuid in answered if uuid not in record.jobs]
    assert not lost, f"{len(lost)} of {len(answered)} accepted jobs have no row: {lost[:5]}"
    faults = [fault for uuid in answered for fault in _faults(record.jobs[uuid], record.history.get(uuid, []))]
    if web:
        faults += _unreadable(web, [job for job in record.jobs.values() if job.state is State.SUCCESS])
    assert not faults, f"{len(faults)} faults among {len(answered)} jobs: " + "\n".join(faults[:10])
    return record


def _faults(job: Job, history: list[str]) -> Iterable[str]:
    description = f"{job.uuid} ({job.task}, {job.state}): {history}"
    if not job.final:
        yield f"is not final: {description}"
        return
    ends = [place for place, kind in enumerate(history) if kind in FINAL]
    if [history[place] for place in ends] != [job.state]:
        yield f"does not have exactly one final event, of its state: {description}"
    elif not ADDS_NOTHING.issuperset(history[ends[0] + 1 :]):
        yield f"changed after it had ended: {description}"
    # Reading the row has parsed its JSON, so an unreadable result would have raised.
    if (job.error is None) is not (job.state is State.SUCCESS) or job.finished is None:
        yield f"is not complete: {description}"
    if fault := misstep(history):
        yield f"{fault}: {description}"


def misstep(history: Iterable[str]) -> str:
    """Return a description of the first event that is not allowed at its place; empty if all are.

    So a job starts once, and again after each lost attempt or retry; and only a started job is lost or retries.
    """
    stands, seen = "", Counter[str]()
    for kind in history:
        if kind == State.PENDING and not seen:
            stands = WAITS
        elif kind not in ADDS_NOTHING:
            before, after = MOVES.get(kind, (set(), ""))
            if stands not in before:
                return f"its {kind} (the {seen[kind] + 1}.) has no reason"
            stands = after
        seen[kind] += 1
    return ""


def _unreadable(web: str, jobs: Sequence[Job]) -> Iterable[str]:
    """Yield each job whose result over HTTP is not that of the record."""
    with requests.Session() as session:
        for job in jobs[:: max(1, -(-len(jobs) // READ_OVER_HTTP))]:
            answer = session.get(f"{web}/result/{job.uuid}", headers={"Accept": "application/json"}, timeout=30)
            if answer.status_code != 200 or answer.json() != job.result:
                yield f"/result/{job.uuid} is {answer.status_code} {answer.text[:100]}, not {job.result!r}"


def assert_problem_quickly(answer: requests.Response, *statuses: int) -> dict[str, object]:
    """Return the members of an error answer that is quick, a problem document, and shows no internals."""
    assert answer.elapsed.total_seconds() < SOON, f"{answer.status_code} after {answer.elapsed}"
    assert answer.status_code in statuses if statuses else answer.status_code >= 400, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    for inside in ("Traceback", 'File "', ".py", "SELECT", "INSERT", "peewee", "sqlite3", "psycopg"):
        assert inside not in answer.text, answer.text
    problem: dict[str, object] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["detail"]
    return problem


def unfinished(database: Database, uuids: Iterable[str]) -> int:
    """Return how many of these jobs are not final yet."""
    wanted, ended = list(uuids), 0
    for start in range(0, len(wanted), CHUNK):
        some = wanted[start : start + CHUNK]
        query = orm.Job.select().where(orm.Job.uuid.in_(some), orm.Job.state.in_([state.value for state in FINAL]))
        ended += int(database.read(query.count))
    return len(wanted) - ended
