"""The store's functions for messages, on each database."""

import threading

import pytest

from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.messages import Delivery, Letter, MessageStore, Route, Wanted

from ...eventually import eventually

LEASE = 30.0
SHORT = 0.05


def put(store: MessageStore, *payloads: str, queue: str = "q", priority: int = 0, ttl: int | None = None) -> None:
    """Store messages with these payloads."""
    store.put([Letter(queue, payload, priority, ttl) for payload in payloads])


def claim(
    store: MessageStore, limit: int = 10, *, owner: str = "me", lease: float = LEASE, queues: tuple[str, ...] = ("q",)
) -> list[Delivery]:
    """Claim messages for an owner."""
    (found,) = store.turn_over(owner, lease, wanted=[Wanted(queues, limit)])
    return found


def acknowledge(store: MessageStore, ids: list[int]) -> None:
    """Delete messages that this owner holds."""
    store.turn_over("me", LEASE, done=ids)


def release(store: MessageStore, ids: list[int]) -> None:
    """Free messages that this owner holds."""
    store.turn_over("me", LEASE, returned=ids)


def payloads(deliveries: list[Delivery]) -> list[str]:
    """The payloads, in order."""
    return [delivery.payload for delivery in deliveries]


def test_messages_are_claimed_in_the_order_of_putting(store: MessageStore) -> None:
    put(store, "a", "b", "c")
    assert payloads(claim(store, 2)) == ["a", "b"]
    assert payloads(claim(store, 2)) == ["c"]


def test_higher_priority_is_claimed_first(store: MessageStore) -> None:
    for priority in (0, 9, 5, 9):
        put(store, str(priority), priority=priority)
    assert payloads(claim(store)) == ["9", "9", "5", "0"]


def test_claimed_message_is_given_to_no_other_owner(store: MessageStore) -> None:
    put(store, "a")
    claim(store)
    assert claim(store, owner="other") == []
    assert not store.waiting(["q"])


def test_acknowledged_message_is_deleted(store: MessageStore) -> None:
    put(store, "a", "b")
    (first, second) = claim(store)
    acknowledge(store, [first.id])
    release(store, [first.id, second.id, second.id + 1])
    assert payloads(claim(store)) == ["b"]


def test_only_the_owner_can_acknowledge_release_or_renew_a_message(store: MessageStore) -> None:
    put(store, "a")
    (held,) = claim(store)
    store.turn_over("other", LEASE, done=[held.id], returned=[held.id])
    assert store.renew("other", LEASE, [held.id]) == 0
    assert store.renew("me", LEASE, [held.id]) == 1
    assert claim(store, owner="other") == []


def test_released_message_returns_to_its_place(store: MessageStore) -> None:
    put(store, "a", "b", "c")
    (first,) = claim(store, 1)
    release(store, [first.id])
    assert payloads(claim(store)) == ["a", "b", "c"]


def test_message_is_free_when_its_lease_has_run_out(store: MessageStore) -> None:
    put(store, "a")
    claim(store, lease=SHORT)
    again = eventually(lambda: claim(store, owner="other"))
    assert [delivery.deliveries for delivery in again] == [2]


def test_message_of_a_lapsed_lease_does_not_wait_after_a_backlog(store: MessageStore) -> None:
    put(store, "a", "b", "c")
    claim(store, 1, lease=SHORT)
    eventually(lambda: store.size("q") == 3)
    assert payloads(claim(store, 1)) == ["a"]


def test_claim_acknowledges_in_the_same_transaction(store: MessageStore) -> None:
    put(store, "a", "b")
    (first,) = claim(store, 1)
    store.turn_over("me", LEASE, done=[first.id], wanted=[Wanted(["q"], 1)])
    assert store.size("q") == 0
    store.forget_queue("q")


def test_claim_of_several_queues_has_one_limit_and_their_order(store: MessageStore) -> None:
    put(store, "a1", "a2", queue="a")
    put(store, "b1", "b2", queue="b")
    assert payloads(claim(store, 3, queues=("b", "a"))) == ["b1", "b2", "a1"]


def test_claim_without_keep_acknowledges_at_once(store: MessageStore) -> None:
    put(store, "a")
    ((found,),) = store.turn_over("me", SHORT, wanted=[Wanted(["q"], 1, keep=False)])
    assert found.payload == "a"
    assert store.renew("me", LEASE, [found.id]) == 0


def test_expired_message_is_skipped_and_the_next_one_claimed(store: MessageStore) -> None:
    put(store, "old", "older", ttl=1)
    put(store, "good", ttl=60_000)
    eventually(lambda: store.size("q") == 1)
    assert payloads(claim(store, 1)) == ["good"]


def test_message_id_is_never_used_twice(store: MessageStore) -> None:
    put(store, "a")
    (first,) = claim(store)
    acknowledge(store, [first.id])
    put(store, "b")
    (second,) = claim(store)
    assert second.id > first.id


def test_purge_and_size_concern_free_messages_only(store: MessageStore) -> None:
    put(store, "a", "b", "c")
    (held,) = claim(store, 1)
    assert store.size("q") == 2
    assert store.purge("q") == 2
    assert (store.size("q"), store.purge("q")) == (0, 0)
    release(store, [held.id])
    assert store.size("q") == 1


@pytest.mark.parametrize("payload", ["häßlich 🎉 \u2028", "x" * 300_000], ids=["unicode", "300 kB"])
def test_payload_is_returned_unchanged(store: MessageStore, payload: str) -> None:
    put(store, payload, queue="schöne Grüße")
    assert payloads(claim(store, queues=("schöne Grüße",))) == [payload]


def test_queue_names_differ_by_case_and_accent(store: MessageStore) -> None:
    put(store, "a", queue="Q")
    put(store, "b", queue="é")
    assert (store.size("q"), store.size("e")) == (0, 0)


def test_many_messages_are_settled_at_once(store: MessageStore) -> None:
    put(store, *(str(number) for number in range(1200)))
    held = [delivery.id for delivery in claim(store, 1200)]
    assert store.renew("me", LEASE, held) == 1200
    acknowledge(store, held)
    release(store, held)
    assert store.size("q") == 0


def test_failed_transaction_puts_no_message(store: MessageStore) -> None:
    with pytest.raises(AttributeError):
        store.put([Letter("q", "a"), None])  # type: ignore[list-item]
    assert store.size("q") == 0


def test_routes_are_found_by_exchange_until_they_are_removed(store: MessageStore) -> None:
    route = Route("x", "key", "q", 5000)
    store.bind([route, Route("y", "key", "q")])
    store.bind([route])
    assert store.routes("x") == [route]
    store.unbind("x", "key", "q")
    assert store.routes("x") == []


def test_deleted_queue_has_neither_routes_nor_messages(store: MessageStore) -> None:
    store.bind([Route("", "q", "q"), Route("x", "key", "q")])
    put(store, "a", "b")
    (held,) = claim(store, 1)
    assert store.is_declared("q")
    store.forget_queue("q")
    assert not store.is_declared("q")
    assert store.routes("x") == []
    assert store.size("q") == 0
    release(store, [held.id, held.id + 1])
    assert store.size("q") == 0


def test_temporary_queue_is_swept_with_its_messages_unless_renewed(store: MessageStore) -> None:
    lifetime = 50_000
    store.bind([Route("", "stale", "stale", None, lifetime), Route("x", "", "stale", None, lifetime)])
    store.bind([Route("", "renewed", "renewed", None, 60_000_000)])
    put(store, "a", queue="stale")
    put(store, "b", queue="renewed")
    assert eventually(store.sweep) == 1
    assert store.routes("x") == []
    assert (store.size("stale"), store.size("renewed")) == (0, 1)
    assert store.sweep() == 0


def test_expired_route_is_unused_until_it_is_renewed(store: MessageStore) -> None:
    store.bind([Route("x", "", "q", None, 20_000)])
    eventually(lambda: store.routes("x") == [])
    store.bind([Route("x", "", "q", None, 60_000_000)])
    assert [found.queue for found in store.routes("x")] == ["q"]


def test_threads_that_claim_at_once_get_each_message_once(database: Database, store: MessageStore) -> None:
    put(store, *(str(number) for number in range(400)))
    got: list[list[str]] = []

    def work(owner: str) -> None:
        mine: list[str] = []
        done: list[int] = []
        while True:
            (found,) = store.turn_over(owner, LEASE, done=done, wanted=[Wanted(["q"], 7)])
            mine += payloads(found)
            done = [delivery.id for delivery in found]
            if not found:
                break
        got.append(mine)
        database.close()

    threads = [threading.Thread(target=work, args=(f"owner-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(payload) for mine in got for payload in mine) == list(range(400))
    assert store.size("q") == 0


def test_idle_check_takes_no_write_lock(make_database, tmp_path) -> None:
    database = Database(make_database("sqlite"), busy_timeout=0.0)
    database.wait_until_up(1, 0.0)
    store = MessageStore(database)
    writer = Database(make_database("sqlite"))
    try:
        assert not writer.write(lambda db: store.waiting(["q"]) or store.sweep())
    finally:
        writer.close()
        database.close()


def test_claim_from_a_deep_backlog_reads_the_index_in_order(make_database) -> None:
    database = Database(make_database("sqlite"))
    database.wait_until_up(1, 0.0)
    plan = database.read(
        lambda db: db.execute_sql(
            "EXPLAIN QUERY PLAN SELECT id FROM message WHERE queue = 'q' AND visible <= 5 "
            "ORDER BY precedence, id LIMIT 8"
        ).fetchall()
    )
    database.close()
    assert len(plan) == 1
    assert "SEARCH message USING INDEX" in plan[0][3]
