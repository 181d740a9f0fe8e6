"""The rules of state hold after each step of any sequence of operations by clients, relays and workers."""

from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import ClaimKey, Job, OutboxEntry, State, new_uuid
from pacifica.dispatcher.core.work import ClaimedJob, Ended, MessageClaim, RetriedReport, Returned, WantedJobs
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.lifecycle import revocation
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.work_queue import WorkQueue
from pacifica.dispatcher.store.workers import WorkerStore

from .conftest import a_job
from .job_steps import ERROR

LEASE, QUEUE = 10, "dispatcher"
TRANSITIONS = {
    None: {State.PENDING},
    State.PENDING: {State.STARTED, State.REVOKED},
    State.STARTED: {State.SUCCESS, State.FAILURE, State.REVOKED, State.RETRY, State.PENDING},
    State.RETRY: {State.STARTED, State.REVOKED},
}
"""The transitions of ``core.job``; a lost job becomes PENDING again."""


class StoreMachine(RuleBasedStateMachine):
    """One database, a clock that the test sets, and the messages and claims of the actors."""

    database: ClassVar[Database]
    uuids: Bundle[str] = Bundle("uuids")
    messages: Bundle[OutboxEntry] = Bundle("messages")
    claims: Bundle[ClaimedJob] = Bundle("claims")

    @initialize()
    def open(self) -> None:
        for model in (orm.Job, orm.Event):
            self.database.write(model.delete().execute)
        self._jobs = JobStore(self.database, durable=False)
        self._queue, self._outbox = WorkQueue(self.database), Outbox(self.database)
        self._workers = WorkerStore(self.database)
        self._clock = 1000
        self._seen: dict[str, Job] = {}
        self._events: dict[str, int] = {}

    def at(self) -> int:
        self._clock += 1
        return self._clock

    @precondition(lambda self: len(self._seen) < 3)
    @rule(target=uuids, delay=st.sampled_from([0, 0, 20]), expires=st.none() | st.just(40), attempts=st.integers(1, 2))
    def dispatch(self, delay: int, expires: int | None, attempts: int) -> str:
        at = self.at()
        end = None if expires is None else at + expires
        job = a_job(
            created=at,
            due=at + delay,
            eta=at + delay if delay else None,
            expires=end,
            max_attempts=attempts,
            target_queue=QUEUE,
        )
        self._jobs.add([job])
        return job.uuid

    @rule(by=st.integers(1, 30))
    def wait(self, by: int) -> None:
        self._clock += by

    @rule(target=messages, limit=st.integers(1, 3))
    def take(self, limit: int) -> object:
        at = self.at()
        before = {uuid: self._jobs.get(uuid) for uuid in self._seen}
        taken = self._outbox.take(at=at, lease=LEASE, limit=limit)
        for message in taken:
            job = before[message.uuid]
            assert job is not None
            assert job.due is not None
            assert job.due <= at
            assert not job.final
        return multiple(*taken)

    @rule(message=messages)
    def confirm(self, message: OutboxEntry) -> None:
        self._outbox.mark_published([message], at=self.at())

    @rule(message=messages)
    def give_back(self, message: OutboxEntry) -> None:
        self._outbox.release([message], at=self.at())

    @rule(target=claims, message=messages, holder=st.sampled_from("ab"))
    def claim(self, message: OutboxEntry, holder: str) -> object:
        return self.claim_with(message, holder)

    def claim_with(self, message: OutboxEntry, holder: str) -> object:
        at, token = self.at(), new_uuid()
        before = self._jobs.get(message.uuid)
        asked = MessageClaim(message.uuid, message.retries)
        won = self._queue.claim(asked, token=token, worker="w", holder=holder, at=at, again=False)
        assert before is not None
        in_time = before.expires is None or before.expires > at
        wanted = before.state in (State.PENDING, State.RETRY) and before.retries == message.retries and in_time
        assert (won is not None) == wanted
        return multiple() if won is None else won

    @rule(target=claims, uuid=uuids, holder=st.sampled_from("ab"))
    def deliver(self, uuid: str, holder: str) -> object:
        """The broker delivers the job's current message, perhaps again."""
        job = self._jobs.get(uuid)
        assert job is not None
        return self.claim_with(OutboxEntry(uuid, job.task, retries=job.retries), holder)

    @rule(claim=claims, holder=st.sampled_from("ab"), retries=st.integers(0, 2))
    def claim_again(self, claim: ClaimedJob, holder: str, retries: int) -> None:
        """A repeated claim returns the same claim while the attempt runs, and otherwise nothing."""
        before = self.job(claim.uuid)
        if before.state in (State.PENDING, State.RETRY):
            return  # That would be a new claim, which needs a new token.
        asked, at = MessageClaim(claim.uuid, retries), self.at()
        again = self._queue.claim(asked, token=claim.token, worker="w", holder=holder, at=at, again=True)
        assert again == (claim if self.current(claim) and before.holder == holder else None)
        assert self.job(claim.uuid) == before

    @rule(target=claims, holder=st.sampled_from("ab"), limit=st.integers(1, 3))
    def claim_due(self, holder: str, limit: int) -> object:
        """A worker of ``database://`` claims the jobs that are due."""
        at, before = self.at(), {uuid: self.job(uuid) for uuid in self._seen}
        wanted = WantedJobs([QUEUE], limit)
        rows = self._queue.turn([], wanted, [], token=new_uuid(), worker="w", holder=holder, at=at).rows
        for job in (before[row.uuid] for row in rows):
            assert job.state in (State.PENDING, State.RETRY)
            assert job.due is not None
            assert job.due <= at
            assert job.expires is None or job.expires > at
        return multiple(*rows)

    @rule(claim=consumes(claims), delay=st.none() | st.just(20))
    def return_job(self, claim: ClaimedJob, delay: int | None) -> None:
        """A worker gives back a job that it has not begun, perhaps after it was declared dead."""
        at, expected, before = self.at(), self.current(claim), self.job(claim.uuid)
        report = Returned(claim.uuid, claim.token, at, None if delay is None else at + delay)
        assert (self._queue.report([report]) != [None]) == expected
        if expected and not before.cancel:
            assert self.job(claim.uuid).attempt == before.attempt - 1

    def job(self, uuid: str) -> Job:
        job = self._jobs.get(uuid)
        assert job is not None
        return job

    def current(self, claim: ClaimedJob) -> bool:
        job = self._jobs.get(claim.uuid)
        return job is not None and job.state is State.STARTED and job.attempt == claim.attempt

    @rule(claim=claims)
    def succeed(self, claim: ClaimedJob) -> None:
        expected = self.current(claim)
        report = Ended(claim.uuid, claim.token, State.SUCCESS.value, str(claim.attempt), None, self.at(), {})
        counted = self._queue.report([report]) == [State.SUCCESS]
        job = self.job(claim.uuid)
        again = job.state is State.SUCCESS and job.result == claim.attempt
        assert counted == (expected or again)

    @rule(claim=claims)
    def fail(self, claim: ClaimedJob) -> None:
        expected = self.current(claim)
        report = Ended(claim.uuid, claim.token, State.FAILURE.value, None, ERROR, self.at(), {})
        assert (self._queue.report([report]) == [State.FAILURE]) >= expected

    @rule(claim=consumes(claims), delay=st.sampled_from([0, 20]))
    def retry(self, claim: ClaimedJob, delay: int) -> None:
        at, retries = self.at(), self.job(claim.uuid).retries + 1
        self._queue.report([RetriedReport(claim.uuid, claim.token, at, at + delay, retries, "[]", "{}", ERROR, {})])

    @rule(uuid=uuids)
    def cancel(self, uuid: str) -> None:
        self.cancel_job(uuid)

    def cancel_job(self, uuid: str) -> None:
        before = self._jobs.get(uuid)
        assert before is not None
        revoked = self._jobs.revoke(uuid, reason="cancelled", at=self.at())
        assert revoked == (before.state in (State.PENDING, State.RETRY))
        accepted = self._jobs.ask_to_cancel(uuid, at=self.at())
        assert accepted == (before.state is State.STARTED and not before.cancel)

    @rule(claim=claims, lost=st.booleans())
    def stop(self, claim: ClaimedJob, *, lost: bool) -> None:
        """A client cancels an attempt; its worker may die before it reads that."""
        self.cancel_job(claim.uuid)
        if lost:
            self.lose_with(claim.uuid, claim.token, expected=self.current(claim))

    @rule(claim=claims)
    def lose(self, claim: ClaimedJob) -> None:
        self.lose_with(claim.uuid, claim.token, expected=self.current(claim))

    def lose_with(self, uuid: str, token: str, *, expected: bool) -> None:
        before, at = self.job(uuid), self.at()
        assert (self._queue.lose([ClaimKey(uuid, token)], reason="gone", at=at) != [None]) == expected
        after = self.job(uuid)
        if not expected:
            assert after == before
        elif before.cancel:
            assert after.state is State.REVOKED
        elif before.attempt - before.retries >= before.max_attempts:
            assert after.state is State.FAILURE
            assert after.error is not None
            assert after.error.type == "WorkerLostError"
        else:
            assert (after.state, after.due, after.holder) == (State.PENDING, at, None)

    @rule(claim=claims)
    def end(self, claim: ClaimedJob) -> None:
        """The main process of a worker reports an attempt as terminated, perhaps an old one."""
        expected = self.current(claim)
        error = revocation("terminated")
        report = Ended(claim.uuid, claim.token, State.REVOKED.value, None, error, self.at(), {})
        assert (self._queue.report([report]) == [State.REVOKED]) >= expected

    @rule(holder=st.sampled_from("ab"))
    def rescue(self, holder: str) -> None:
        """A worker was declared dead: exactly its jobs are put back."""
        started = [job for job in map(self._jobs.get, self._seen) if job and job.state is State.STARTED]
        held = self._workers.held(holder, limit=100)
        assert {job.uuid for job in started if job.holder == holder} == {job for job, _ in held}
        for uuid, token in held:
            self.lose_with(uuid, token, expected=True)

    @rule(uuid=uuids)
    def send_again(self, uuid: str) -> None:
        """The broker has, or seems to have, lost the message of a job."""
        before, at = self.job(uuid), self.at()
        self._outbox.send_again([uuid], at=at)
        again = before.state in (State.PENDING, State.RETRY) and before.due is None
        assert self.job(uuid).due == (at if again else before.due)

    @rule()
    def recall(self) -> None:
        """Jobs that are due later than two leases become due; scheduled ones stay as they are."""
        at = self.at()
        self._outbox.recall(at=at, lease=LEASE)
        for uuid, before in self._seen.items():
            left = before.due is not None and before.due > at + 2 * LEASE and before.due != before.eta
            assert self.job(uuid).due == (at if left else before.due)

    @rule()
    def revoke_expired(self) -> None:
        at = self.at()
        found = [self.job(uuid) for uuid in self._seen]
        waiting = [job for job in found if job.state in (State.PENDING, State.RETRY)]
        expired = [job for job in waiting if job.expires is not None and job.expires <= at]
        assert self._jobs.revoke_expired(at=at, limit=10) == len(expired)
        assert {self.job(job.uuid).state for job in expired} <= {State.REVOKED}

    @invariant()
    def every_transition_is_allowed(self) -> None:
        if not hasattr(self, "_jobs"):
            return
        query = "SELECT uuid FROM job"
        for (uuid,) in self.database.read(lambda db: db.execute_sql(query).fetchall()):
            job, before = self._jobs.get(uuid), self._seen.get(uuid)
            assert job is not None
            self._check(job, before)
            self._seen[uuid] = job

    def _check(self, job: Job, before: Job | None) -> None:
        if before is not None and before.final:
            assert job == before, "a final state is never left, and its row never changes"
        elif before is None or job.state is not before.state:
            assert job.state in TRANSITIONS[before.state if before else None]
        kinds = [event.kind for event in self._jobs.events(job.uuid)]
        assert len(kinds) >= self._events.get(job.uuid, 0), "the history only grows"
        if before is not None:
            assert job.version >= before.version
            new = kinds[self._events[job.uuid] :]
            started = job.state is State.STARTED and before.state is not State.STARTED
            assert new.count("STARTED") == started
            assert job.attempt - before.attempt == started - new.count("RETURNED")
        self._events[job.uuid] = len(kinds)
        assert (job.finished is not None) == job.final
        if job.state in (State.STARTED, *[state for state in State if state.final]):
            assert job.due is None, "only a job that waits is in the outbox"
        elif job.due is None:
            assert job.published is not None, "a job that waits is in the outbox, or its message was confirmed"
        assert sum(kind in ("SUCCESS", "FAILURE", "REVOKED") for kind in kinds) == job.final


def test_the_rules_of_state_hold_for_any_sequence_of_operations(database: Database) -> None:
    class OnDatabase(StoreMachine):
        pass

    OnDatabase.database = database
    examples = 50 if database.sqlite else 20  # On a server, every step is a round trip.
    run_state_machine_as_test(
        OnDatabase, settings=settings(max_examples=examples, stateful_step_count=25, deadline=None)
    )
