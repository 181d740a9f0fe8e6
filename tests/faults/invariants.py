"""What must hold after every fault: each accepted job ended, once, and stayed as it ended; errors are told well."""

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
"""Seconds within which every error is answered."""
ADDS_NOTHING = frozenset({"DROPPED", "LATE", "CANCEL"})
"""Events that may come at any time, also after the final one: they tell of what was asked, or came too late."""
WAITS, RUNS = "waits", "runs"
MOVES = {
    State.STARTED: ({WAITS}, RUNS),
    "LOST": ({RUNS}, WAITS),
    "REFUSED": ({WAITS}, WAITS),
    State.RETRY: ({RUNS}, WAITS),
    State.SUCCESS: ({RUNS}, ""),
    State.FAILURE: ({RUNS}, ""),
    State.REVOKED: ({WAITS, RUNS}, ""),
}
"""Each event that moves a job: how the job must have stood before, and how it stands after."""
AT_ONCE = 500
ASKED = 200
"""Results that are read over HTTP after one test, at most; of more jobs these are spread evenly."""


class Record:
    """The record as it stands, read straight from its tables."""

    def __init__(self, peewee_url: str, uuids: Iterable[str]) -> None:
        self.jobs: dict[str, Job] = {}
        self.history: dict[str, list[str]] = {}
        wanted = list(uuids)
        with closing(Database(peewee_url)) as database:
            for start in range(0, len(wanted), AT_ONCE):
                database.read(lambda db, some=wanted[start : start + AT_ONCE]: self._read(db, some))

    def _read(self, db: peewee.Database, uuids: Collection[str]) -> None:
        columns = [getattr(orm.Job, name) for name in mapping.JOB_COLUMNS]
        for row in orm.Job.select(*columns).where(orm.Job.uuid.in_(uuids)).tuples().execute(db):
            job = mapping.job_from_row(row)
            self.jobs[job.uuid] = job
        events = orm.Event.select(orm.Event.job, orm.Event.kind).where(orm.Event.job.in_(uuids))
        for uuid, kind in events.order_by(orm.Event.id).tuples().execute(db):
            self.history.setdefault(uuid, []).append(kind)

    def times_run(self, uuid: str) -> int:
        """How often a worker started the job."""
        return self.history[uuid].count(State.STARTED)


def check_record(peewee_url: str, answered: Iterable[str], web: str = "") -> Record:
    """The record, after each job whose UUID was answered was found to be final, once, and whole.

    Its state is final, exactly one final event says so, no move follows that event, every start has its
    reason (the first, a lost attempt, a retry), and SUCCESS has a result that can be read, and no error.
    Where a server answers at ``web``, the result is also read there.
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
    told = f"{job.uuid} ({job.task}, {job.state}): {history}"
    if not job.final:
        yield f"is not final: {told}"
        return
    ends = [place for place, kind in enumerate(history) if kind in FINAL]
    if [history[place] for place in ends] != [job.state]:
        yield f"has not exactly one final event, of its state: {told}"
    elif not ADDS_NOTHING.issuperset(history[ends[0] + 1 :]):
        yield f"moved after it had ended: {told}"
    # The row was read as JSON already, so a result that cannot be read would have raised.
    if (job.error is None) is not (job.state is State.SUCCESS) or job.finished is None:
        yield f"is not whole: {told}"
    if fault := misstep(history):
        yield f"{fault}: {told}"


def misstep(history: Iterable[str]) -> str:
    """The first event of a history that cannot have come where it stands, and "" when there is none.

    So a job starts once, and once more for each time that it was lost or asked for a retry; and only what
    has started is lost, or asks.
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
    """What HTTP does not answer as the record has it."""
    with requests.Session() as session:
        for job in jobs[:: max(1, -(-len(jobs) // ASKED))]:
            answer = session.get(f"{web}/result/{job.uuid}", headers={"Accept": "application/json"}, timeout=30)
            if answer.status_code != 200 or answer.json() != job.result:
                yield f"/result/{job.uuid} is {answer.status_code} {answer.text[:100]}, and not {job.result!r}"


def assert_problem_quickly(answer: requests.Response, *statuses: int) -> dict[str, object]:
    """The members of an error answer that came soon, is problem details, and shows nothing of the inside."""
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
    """How many of these jobs are not final yet."""
    wanted, ended = list(uuids), 0
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        query = orm.Job.select().where(orm.Job.uuid.in_(some), orm.Job.state.in_([state.value for state in FINAL]))
        ended += int(database.read(query.count))
    return len(wanted) - ended
