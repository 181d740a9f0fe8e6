"""Nothing is lost: producers and consumers are killed with -9 while messages flow."""

from pathlib import Path

from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.messages import MessageStore

from ...eventually import eventually
from ...processes import Running
from .conftest import Broker
from .peer import noted

KILLS = 4
BETWEEN = 60
"""Messages that go through between two kills."""


def start_consumer(table: Broker, path: Path) -> Running:
    """A consumer that has begun."""
    consumer = table.peer("consume", str(path))
    consumer.wait_until_it_says("consumes")
    return consumer


def test_no_accepted_message_is_lost_when_producers_and_consumers_are_killed(table: Broker, tmp_path: Path) -> None:
    accepted, consumed = tmp_path / "accepted", tmp_path / "consumed"
    producers = [table.peer("produce", str(accepted), "p0", "100000")]
    consumers = [start_consumer(table, consumed) for _ in range(2)]
    for kill in range(1, KILLS + 1):
        goal = len(noted(consumed)) + BETWEEN
        eventually(lambda goal=goal: len(noted(consumed)) >= goal, 30)
        consumers.pop(0).kill()
        consumers.append(start_consumer(table, consumed))
        producers.pop().kill()
        producers.append(table.peer("produce", str(accepted), f"p{kill}", "100000"))
        eventually(lambda kill=kill: any(line.startswith(f"p{kill}-") for line in noted(accepted)), 30)
    producers.pop().kill()
    eventually(lambda: set(noted(accepted)) <= set(noted(consumed)), 60, "messages are lost")
    # A doubled one was in the hands of a consumer when that was killed; it holds eleven at most.
    assert len(noted(consumed)) - len(set(noted(consumed))) <= KILLS * 11
    store = MessageStore(Database(table.options["peewee_url"]))
    eventually(lambda: store.size(table.queue.name) == 0)
    store.close()


def test_a_message_is_not_delivered_again_while_its_holder_lives(table: Broker, tmp_path: Path) -> None:
    publisher = table.connect().Producer(exchange=table.queue.exchange, routing_key=table.queue.routing_key)
    publisher.publish("a", declare=[table.queue])
    holder = table.peer("hold")
    holder.wait_until_it_says("holds a")
    consumer = start_consumer(table, tmp_path / "consumed")
    publisher.publish("last")
    eventually(lambda: noted(tmp_path / "consumed") == ["last"])
    database = Database(table.options["peewee_url"])
    leases: set[int] = set()

    def renewed_often() -> bool:
        rows = database.read(lambda db: db.execute_sql("SELECT visible FROM message").fetchall())
        leases.update(visible for (visible,) in rows)
        return len(leases) > 6

    # Two leases long, and the holder's thread does nothing but wait.
    eventually(renewed_often)
    database.close()
    assert noted(tmp_path / "consumed") == ["last"]
    holder.kill()
    eventually(lambda: noted(tmp_path / "consumed") == ["last", "a"])
    consumer.kill()
