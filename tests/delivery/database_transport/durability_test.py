"""No message is lost while producers and consumers are killed with SIGKILL."""

from pathlib import Path

from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.messages import MessageStore

from ...eventually import eventually
from ...processes import Running
from .conftest import Broker
from .peer import noted

KILLS = 4
BETWEEN = 60
"""Messages that are consumed between two kills."""


def start_consumer(db_broker: Broker, path: Path) -> Running:
    """Start a consumer, and wait until it consumes."""
    consumer = db_broker.peer("consume", str(path))
    consumer.wait_until_it_says("consumes")
    return consumer


def test_killing_producers_and_consumers_loses_no_accepted_message(db_broker: Broker, tmp_path: Path) -> None:
    accepted, consumed = tmp_path / "accepted", tmp_path / "consumed"
    producers = [db_broker.peer("produce", str(accepted), "p0", "100000")]
    consumers = [start_consumer(db_broker, consumed) for _ in range(2)]
    for kill in range(1, KILLS + 1):
        goal = len(noted(consumed)) + BETWEEN
        eventually(lambda goal=goal: len(noted(consumed)) >= goal, 30)
        consumers.pop(0).kill()
        consumers.append(start_consumer(db_broker, consumed))
        producers.pop().kill()
        producers.append(db_broker.peer("produce", str(accepted), f"p{kill}", "100000"))
        eventually(lambda kill=kill: any(line.startswith(f"p{kill}-") for line in noted(accepted)), 30)
    producers.pop().kill()
    eventually(lambda: set(noted(accepted)) <= set(noted(consumed)), 60, "messages are lost")
    # A duplicate was held by a consumer when that was killed; a consumer holds at most eleven.
    assert len(noted(consumed)) - len(set(noted(consumed))) <= KILLS * 11
    store = MessageStore(Database(db_broker.options["peewee_url"]))
    eventually(lambda: store.size(db_broker.queue.name) == 0)
    store.close()


def test_message_is_not_delivered_again_while_its_holder_lives(db_broker: Broker, tmp_path: Path) -> None:
    publisher = db_broker.connect().Producer(exchange=db_broker.queue.exchange, routing_key=db_broker.queue.routing_key)
    publisher.publish("a", declare=[db_broker.queue])
    holder = db_broker.peer("hold")
    holder.wait_until_it_says("holds a")
    consumer = start_consumer(db_broker, tmp_path / "consumed")
    publisher.publish("last")
    eventually(lambda: noted(tmp_path / "consumed") == ["last"])
    database = Database(db_broker.options["peewee_url"])
    leases: set[int] = set()

    def renewed_often() -> bool:
        rows = database.read(lambda db: db.execute_sql("SELECT visible FROM message").fetchall())
        leases.update(visible for (visible,) in rows)
        return len(leases) > 4

    # Four renewals take more than a lease, in which the holder's thread only waits.
    eventually(renewed_often)
    database.close()
    assert noted(tmp_path / "consumed") == ["last"]
    holder.kill()
    eventually(lambda: noted(tmp_path / "consumed") == ["last", "a"])
    consumer.kill()
