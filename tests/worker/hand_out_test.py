"""The hand-out: which claimed jobs go to the pool together, and what becomes of those that do not begin or end."""

import threading
from collections import Counter
from signal import SIGTERM
from types import SimpleNamespace

import pytest
from billiard.exceptions import WorkerLostError
from celery import signals
from celery.exceptions import Terminated
from celery.worker import state
from kombu.utils.limits import TokenBucket

from pacifica.dispatcher.core.job import now
from pacifica.dispatcher.core.work import ClaimedJob
from pacifica.dispatcher.worker import row_request
from pacifica.dispatcher.worker.hand_out import PATIENCE
from pacifica.dispatcher.worker.run_times import MOST_JOBS

from .engine import Engine, a_claim
from .local_worker import LocalWorker


@pytest.fixture
def engine(worker: LocalWorker, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A hand-out with two processes."""
    return Engine(worker, monkeypatch)


@pytest.fixture
def single(worker: LocalWorker, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A hand-out with one process."""
    return Engine(worker, monkeypatch, processes=1)


def keys(jobs: list[ClaimedJob]) -> set[tuple[str, str]]:
    return {(job.uuid, job.token) for job in jobs}


def test_there_is_room_for_idle_processes_only_while_nothing_is_known(engine: Engine) -> None:
    assert engine.hand_out.room() == 2
    engine.add(a_claim("long"))
    assert engine.hand_out.room() == 1
    engine.add(a_claim("long"), a_claim("long"))
    assert engine.hand_out.room() <= 0


def test_there_is_more_room_while_all_jobs_are_short(engine: Engine) -> None:
    engine.learn(seconds=0.001)
    assert engine.hand_out.room() == 2 * 20 * 2
    engine.add(*[a_claim() for _ in range(30)])
    assert engine.hand_out.room() == 2 * 20 * 2 - 30


def test_a_short_job_that_takes_long_leaves_no_room(single: Engine) -> None:
    single.send(1)
    assert single.hand_out.room() > 0
    single.seconds += 2 * PATIENCE
    assert single.hand_out.room() <= 0


def test_one_long_job_ends_claiming_ahead(engine: Engine) -> None:
    engine.learn()
    engine.learn("long", seconds=0.5, jobs=1)
    assert engine.hand_out.room() == 2


def test_unknown_tasks_go_alone(engine: Engine) -> None:
    engine.add(a_claim("long"), a_claim("long"), a_claim("long"))
    assert [len(sent.jobs) for sent in engine.pool.sent] == [1, 1]
    engine.pool.sent[0].end()
    assert [len(sent.jobs) for sent in engine.pool.sent] == [1, 1, 1]


def test_short_jobs_share_a_message_up_to_the_first_long_one(single: Engine) -> None:
    single.learn()
    single.hand_out.close()
    short, long = [a_claim() for _ in range(6)], a_claim("long")
    single.add(*short[:4], long, *short[4:])
    single.hand_out.open(None)
    while single.hand_out.in_hand():
        single.pool.sent[-1].end()
    assert [sent.jobs for sent in single.pool.sent] == [short[:4], [long], short[4:]]


def test_short_jobs_are_spread_over_idle_processes(engine: Engine) -> None:
    engine.learn(seconds=0.0001)
    engine.hand_out.close()
    engine.add(*[a_claim() for _ in range(10)])
    engine.hand_out.open(None)
    assert [len(sent.jobs) for sent in engine.pool.sent] == [5, 5]


def test_message_has_a_limited_number_of_jobs_and_expected_work(single: Engine) -> None:
    for seconds, most in ((0.00001, MOST_JOBS), (0.01, 2)):
        single.learn(seconds=seconds, jobs=60)
        single.hand_out.close()
        single.add(*[a_claim() for _ in range(100)])
        single.hand_out.open(None)
        assert len(single.pool.sent[0].jobs) == most
        while single.hand_out.in_hand():
            single.pool.sent[-1].end(seconds=seconds)
        single.pool.sent.clear()


def test_job_that_was_lost_before_goes_alone(single: Engine) -> None:
    single.learn()
    single.hand_out.close()
    single.add(a_claim(), a_claim(), a_claim(attempt=2), a_claim(attempt=2, retries=1))
    single.hand_out.open(None)
    while single.hand_out.in_hand():
        single.pool.sent[-1].end()
    assert [len(sent.jobs) for sent in single.pool.sent] == [2, 1, 1]


@pytest.mark.parametrize(
    "limit", ["time_limit", "soft_time_limit", "max_tasks_per_child", "max_memory_per_child", "autoscaler"]
)
def test_jobs_of_a_worker_with_limits_go_alone(single: Engine, limit: str) -> None:
    single.learn()
    setattr(single.worker, limit, SimpleNamespace(max_concurrency=1) if limit == "autoscaler" else 10)
    single.add(a_claim(), a_claim())
    assert len(single.pool.sent[0].jobs) == 1


def test_jobs_go_alone_while_someone_watches_events_or_signals(single: Engine) -> None:
    single.learn()
    single.consumer.event_dispatcher = SimpleNamespace(enabled=True, groups=set(), send=lambda *_, **__: None)
    single.add(a_claim(), a_claim())
    assert len(single.pool.sent[0].jobs) == 1
    single.consumer.event_dispatcher = None

    def receiver(**_: object) -> None:
        pass

    signals.task_received.connect(receiver)
    try:
        single.hand_out.close()
        single.add(a_claim())
        single.hand_out.open(None)
        single.pool.sent[-1].end()
        assert len(single.pool.sent[-1].jobs) == 1
    finally:
        signals.task_received.disconnect(receiver)


def test_jobs_with_callbacks_or_limits_of_their_own_go_alone(single: Engine) -> None:
    single.learn()
    single.hand_out.close()
    headers = ['{"time_limit":5}', '{"request_id":"r","caller":"c"}', '{"request_id":"s"}']
    single.add(*[a_claim(headers=text) for text in headers])
    single.hand_out.open(None)
    assert len(single.pool.sent[0].jobs) == 1


def test_job_that_was_claimed_long_ago_is_not_begun(single: Engine) -> None:
    """The main process may have been frozen, and the job put back by then."""
    single.add(a_claim("long"))
    old = a_claim("long")
    single.add(old)
    single.seconds += 2 * PATIENCE
    single.pool.sent[0].end()
    assert len(single.pool.sent) == 1
    assert [job.uuid for job, _ in single.hand_out.take_back()] == [old.uuid]
    assert not single.hand_out.in_hand()


def test_jobs_behind_one_that_takes_long_are_taken_back(single: Engine) -> None:
    sent, jobs = single.send(5)
    assert sent.begin(2) == 2
    assert single.hand_out.take_back() == []
    single.seconds += 2 * PATIENCE
    sent.write(1)
    assert [job for job, _ in single.hand_out.take_back()] == jobs[2:]
    assert sent.begin(3) == 0
    assert single.hand_out.in_hand() == keys(jobs[:2])
    assert single.writer.states() == {jobs[0].uuid: "SUCCESS"}, "its outcome must not wait for the second job"
    assert not single.hand_out.holds_ahead()
    sent.end(2)
    assert single.writer.states() == {job.uuid: "SUCCESS" for job in jobs[:2]}
    assert (single.writer.returned, single.hand_out.in_hand()) == ({}, set())


def test_jobs_of_a_process_that_is_being_started_are_left_to_it_for_longer(single: Engine) -> None:
    _, jobs = single.send(3)
    single.seconds += 1.0
    assert single.hand_out.take_back() == []
    single.seconds += 1.5
    assert [job for job, _ in single.hand_out.take_back()] == jobs


def test_jobs_that_the_process_has_not_begun_return_to_the_queue(single: Engine) -> None:
    """It begins no more jobs of a message after a while, as the main process may be frozen."""
    sent, jobs = single.send(4)
    sent.begin(2)
    sent.end(2)
    assert set(single.writer.returned) == {job.uuid for job in jobs[2:]}
    assert set(single.writer.states()) == {job.uuid for job in jobs[:2]}
    assert not single.hand_out.in_hand()


def test_only_the_job_at_hand_of_a_dead_process_is_lost(single: Engine) -> None:
    sent, jobs = single.send(5)
    sent.begin(3)
    sent.write(2)
    sent.die(WorkerLostError("signal 9"))
    assert list(single.writer.states().values()) == ["SUCCESS", "SUCCESS", "LOST"]
    assert set(single.writer.states()) == {job.uuid for job in jobs[:3]}
    assert set(single.writer.returned) == {job.uuid for job in jobs[3:]}
    assert (single.hand_out.in_hand(), single.hand_out.room()) == (set(), 1)


def test_message_of_a_dead_process_goes_on_in_another_and_loses_the_job_at_hand(single: Engine) -> None:
    """Billiard gives a message away whose process ended before it was seen to accept it."""
    sent, jobs = single.send(3)
    sent.begin(1)
    sent.written = 1  # The second process does not repeat the first job.
    sent.end()
    assert single.writer.states() == {jobs[0].uuid: "LOST", jobs[1].uuid: "SUCCESS", jobs[2].uuid: "SUCCESS"}
    assert (single.writer.returned, single.hand_out.in_hand()) == ({}, set())


def test_lone_job_of_a_dead_process_is_lost_if_another_process_gets_it(single: Engine) -> None:
    job = a_claim("long")
    single.add(job)
    single.pool.sent[0].begin()
    single.pool.sent[0].end(0)
    assert (single.writer.states(), single.writer.returned) == ({job.uuid: "LOST"}, {})


def test_task_that_ended_its_process_goes_alone_afterwards(single: Engine) -> None:
    sent, _ = single.send(3)
    sent.begin(2)
    sent.write(1)
    sent.die(WorkerLostError("signal 9"))
    single.pool.sent.clear()
    single.hand_out.close()
    single.add(a_claim(), a_claim())
    single.hand_out.open(None)
    assert len(single.pool.sent[0].jobs) == 1


def test_cancelled_job_that_waits_is_revoked(single: Engine) -> None:
    single.add(a_claim("long"))
    waiting = a_claim("long")
    single.add(waiting)
    single.hand_out.stop_job(waiting.uuid)
    assert single.writer.states() == {waiting.uuid: "REVOKED"}
    single.pool.sent[0].end()
    assert len(single.pool.sent) == 1


def test_cancelled_job_of_a_message_that_has_not_begun_is_revoked(single: Engine) -> None:
    sent, jobs = single.send(4)
    sent.begin(1)
    single.hand_out.stop_job(jobs[2].uuid)
    assert single.writer.states() == {jobs[2].uuid: "REVOKED"}
    assert set(single.writer.returned) == {jobs[1].uuid, jobs[3].uuid}
    assert single.pool.ended == []
    assert sent.begin(3) == 0


def test_cancelled_job_at_hand_ends_its_process(single: Engine) -> None:
    sent, jobs = single.send(4)
    sent.begin(2)
    sent.write(1)
    single.hand_out.stop_job(jobs[1].uuid)
    assert (single.pool.ended, set(single.writer.returned)) == ([(4711, SIGTERM)], {jobs[2].uuid, jobs[3].uuid})
    sent.die(Terminated(15))
    assert single.writer.states() == {jobs[0].uuid: "SUCCESS", jobs[1].uuid: "REVOKED"}


def test_remote_control_sees_and_stops_a_job_that_turned_long_in_a_shared_message(single: Engine) -> None:
    sent, jobs = single.send(4)
    sent.begin(2)
    sent.write(1)
    single.hand_out.take_back()
    assert not state.active_requests
    single.seconds += 2 * PATIENCE
    single.hand_out.take_back()
    (request,) = state.active_requests
    assert (request.id, request.worker_pid, state.requests[request.id]) == (jobs[1].uuid, 4711, request)
    request.terminate(single.pool)
    assert single.pool.ended == [(4711, SIGTERM)]
    sent.die(Terminated(15))
    assert single.writer.states() == {jobs[0].uuid: "SUCCESS", jobs[1].uuid: "REVOKED"}
    assert not state.active_requests


def test_shown_job_that_ends_or_is_lost_is_not_active_any_more(single: Engine) -> None:
    for lost in (False, True):
        sent, jobs = single.send(4)
        sent.begin(2)
        single.seconds += 2 * PATIENCE
        sent.write(1)
        single.hand_out.take_back()
        assert [request.id for request in state.active_requests] == [jobs[1].uuid]
        if lost:
            sent.die(WorkerLostError("signal 9"))
        else:
            sent.end(2)
        assert single.writer.states()[jobs[1].uuid] == ("LOST" if lost else "SUCCESS")
        assert not state.active_requests
        assert not single.hand_out.in_hand()
        single.pool.sent.clear()


def test_cold_shutdown_stops_a_shown_job_by_its_request_alone(single: Engine) -> None:
    sent, _ = single.send(4)
    sent.begin(2)
    single.seconds += 2 * PATIENCE
    sent.write(1)
    single.hand_out.take_back()
    single.hand_out.close()
    single.hand_out.stop_shared()
    assert single.pool.ended == []


def test_pool_that_scales_itself_has_room_up_to_its_present_maximum(single: Engine) -> None:
    single.worker.autoscaler = SimpleNamespace(max_concurrency=3)
    assert single.hand_out.room() == 3
    single.worker.autoscaler.max_concurrency = 5  # By ``control autoscale``.
    assert single.hand_out.room() == 5


def test_jobs_of_a_shared_message_are_put_back_by_a_cold_shutdown(single: Engine) -> None:
    sent, jobs = single.send(4)
    sent.begin(2)
    sent.write(1)
    single.hand_out.close()
    single.hand_out.stop_shared()
    assert (single.pool.ended, set(single.writer.returned)) == ([(4711, SIGTERM)], {jobs[2].uuid, jobs[3].uuid})
    sent.die(Terminated(15))
    assert single.writer.states() == {jobs[0].uuid: "SUCCESS", jobs[1].uuid: "LOST"}


def test_cancelled_job_that_has_ended_ends_no_process(single: Engine) -> None:
    sent, jobs = single.send(4)
    sent.begin(2)
    single.hand_out.stop_job(jobs[0].uuid)
    assert single.pool.ended == []
    sent.end(2)
    assert set(single.writer.states().values()) == {"SUCCESS"}


def test_job_that_the_pool_refuses_is_lost_and_the_next_one_runs(single: Engine) -> None:
    single.pool.error = OSError("the pipe is closed")
    job = a_claim("long")
    single.add(job)
    assert single.writer.states() == {job.uuid: "LOST"}
    assert (single.hand_out.in_hand(), single.hand_out.room()) == (set(), 1)
    single.pool.error = None
    single.add(a_claim("long"))
    assert len(single.pool.sent) == 1


def test_job_is_in_hand_and_takes_room_while_it_is_being_sent(single: Engine) -> None:
    """Its receipt is announced to others, which may take long."""
    job, seen = a_claim("long"), []
    single.consumer.on_task_message.add(lambda _: seen.append((single.hand_out.in_hand(), single.hand_out.room())))
    single.add(job)
    assert seen == [(keys([job]), 0)]


def test_job_is_in_hand_until_its_report_is_with_the_writer(single: Engine) -> None:
    sent, jobs = single.send(2)
    seen = []
    single.writer.report = lambda report, _then=None: seen.append(single.hand_out.in_hand())  # type: ignore[method-assign]
    sent.begin(2)
    sent.end()
    assert seen == [keys(jobs)] * 2
    assert not single.hand_out.in_hand()


def test_error_of_a_call_leaves_the_others(single: Engine) -> None:
    called: list[int] = []
    single.hand_out.call(lambda: 1 / 0)
    single.hand_out.call(called.append, 1)
    assert called == [1]


def test_hand_out_goes_on_after_an_event_loop_that_was_dropped(single: Engine) -> None:
    """A reconnecting worker has a new event loop; what the last one was to call is lost."""
    calls: list[object] = []
    single.hand_out.open(SimpleNamespace(call_soon=lambda _: None))  # type: ignore[arg-type]
    single.add(a_claim("long"))
    single.hand_out.open(SimpleNamespace(call_soon=calls.append))  # type: ignore[arg-type]
    assert calls == [single.hand_out.give]


def test_jobs_go_alone_while_no_lane_is_free(single: Engine) -> None:
    single.learn()
    single.pool.num_processes = 20  # By ``control pool_grow``.
    single.hand_out.close()
    single.add(*[a_claim() for _ in range(60)])
    single.hand_out.open(None)
    assert [len(sent.jobs) for sent in single.pool.sent if sent.lane is None] == [1] * 14
    assert len(single.pool.sent) == 20


def test_revoked_job_is_not_sent(single: Engine) -> None:
    job = a_claim("long")
    state.revoked.add(job.uuid)
    try:
        single.add(job)
    finally:
        state.revoked.discard(job.uuid)
    assert single.pool.sent == []
    assert single.writer.states() == {job.uuid: "REVOKED"}
    assert single.hand_out.room() == 1


def test_no_request_remains_after_the_end_of_a_job(single: Engine) -> None:
    job = a_claim("long")
    single.add(job)
    (request,) = [request for request in state.reserved_requests if request.id == job.uuid]
    single.pool.sent[0].begin()
    assert request in state.active_requests
    single.pool.sent.pop().end()
    assert request not in state.reserved_requests
    assert request not in state.active_requests


def test_rate_limit_spreads_a_backlog_over_its_turns(engine: Engine) -> None:
    """So no job of the backlog is claimed many times."""
    engine.consumer.task_buckets["long"] = TokenBucket(10)
    refusals: Counter[str] = Counter()
    begin = now()
    first, *others = [row_request.refused(engine.worker, a_claim("long"), refusals) for _ in range(21)]
    assert first is None
    waits = [(due - begin) / 1_000_000 for due in others if due is not None]
    assert waits == pytest.approx([0.1 * number for number in range(1, 21)], abs=0.09)


def test_rate_limit_defers_no_job_for_long(engine: Engine) -> None:
    """Someone may change the limit."""
    engine.consumer.task_buckets["long"] = TokenBucket(1 / 60)
    refusals: Counter[str] = Counter()
    dues = [row_request.refused(engine.worker, a_claim("long"), refusals) for _ in range(100)]
    assert max(due or 0 for due in dues) <= now() + int(row_request.LONGEST_DEFERRED * 1_000_000)


def test_disabled_rate_limits_refuse_nothing(engine: Engine) -> None:
    engine.consumer.task_buckets["long"] = TokenBucket(1 / 60)
    engine.consumer.disable_rate_limits = True
    assert {row_request.refused(engine.worker, a_claim("long"), Counter()) for _ in range(3)} == {None}


def test_threads_that_take_back_and_end_jobs_lose_and_double_none(engine: Engine) -> None:
    """Each job is either reported or taken back, while one thread takes back and another one ends messages."""
    engine.learn(seconds=0.0001)
    back: list[str] = []
    stop = threading.Event()

    def take() -> None:
        while not stop.is_set():
            back.extend(job.uuid for job, _ in engine.hand_out.take_back(0.0))

    thread = threading.Thread(target=take)
    thread.start()
    jobs = [a_claim() for _ in range(600)]
    try:
        for number in range(0, 600, 20):
            engine.add(*jobs[number : number + 20])
            while engine.pool.sent:
                sent = engine.pool.sent.pop()
                sent.end(sent.begin(len(sent.jobs)), seconds=0.0001)
    finally:
        stop.set()
        thread.join()
    back += [job.uuid for job, _ in engine.hand_out.take_back(0.0)]
    back += engine.writer.returned
    ended = [report.uuid for report in engine.writer.reports]
    assert sorted(back + ended) == sorted(job.uuid for job in jobs)


def test_event_loop_is_woken_for_a_wish_of_its_own_call(single: Engine) -> None:
    """Kombu makes such a call only after its next event, which may be a second away; a timer ends that."""
    calls: list[object] = []
    loop = SimpleNamespace(call_soon=calls.append, call_later=lambda _, call: calls.append(call))
    single.hand_out.open(loop)  # type: ignore[arg-type]
    single.hand_out.call(single.hand_out.wake)
    calls.clear()
    single.hand_out.give()
    assert calls == [single.hand_out.give]
