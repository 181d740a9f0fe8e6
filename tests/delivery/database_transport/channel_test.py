"""Features of ``database://`` that other brokers lack, and its options; on SQLite only, as no test is about SQL."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest
from kombu import Connection, Exchange, Queue
from kombu.asynchronous import Hub
from kombu.exceptions import ChannelError

from pacifica.dispatcher.core.errors import ConfigError, DatabaseUnavailable
from pacifica.dispatcher.store.database import Database

from ...eventually import eventually


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """A fresh database."""
    with closing(Database(sqlite_url)) as opened:
        opened.wait_until_up(1, 0.0)
        yield opened


@pytest.fixture
def connect(database: Database) -> Iterator[Callable[..., Connection]]:
    """Makes connections to the database, closed when the test ends."""
    opened: list[Connection] = []

    def make(**options: object) -> Connection:
        opened.append(Connection("database://", transport_options={"database": database, **options}))
        return opened[-1]

    yield make
    for connection in opened:
        connection.release()


def count(database: Database, table: str = "message") -> int:
    """The number of rows of a table."""
    return int(database.read(lambda db: db.execute_sql(f"SELECT count(*) FROM {table}").fetchone()[0]))


def test_all_messages_up_to_one_are_acknowledged_together(
    database: Database, connect: Callable[..., Connection]
) -> None:
    channel = connect().default_channel
    for number in range(4):
        channel.Producer().publish(number, routing_key="q")
    got = [channel.basic_get("q") for _ in range(4)]
    channel.basic_ack(got[2].delivery_tag, multiple=True)
    channel.close()
    eventually(lambda: count(database) == 1)


def test_acknowledgement_is_stored_soon_without_draining(
    database: Database, connect: Callable[..., Connection]
) -> None:
    connection = connect()
    connection.Producer().publish("a", routing_key="q")
    queue = Queue("q", durable=False)
    with connection.Consumer([queue], callbacks=[lambda body, message: message.ack()]):
        connection.drain_events(timeout=5)
        eventually(lambda: count(database) == 0)


def test_connection_dropped_without_close_frees_its_messages(
    database: Database, connect: Callable[..., Connection]
) -> None:
    connect().Producer().publish("a", routing_key="q")
    dropped = Connection("database://", transport_options={"database": database, "lease": 0.3})
    assert dropped.default_channel.basic_get("q").payload == "a"
    assert connect().default_channel.basic_get("q") is None
    del dropped

    def free() -> bool:
        gc.collect()
        return connect().default_channel.basic_get("q") is not None

    eventually(free)


def test_unreadable_message_is_deleted_and_the_next_one_delivered(
    database: Database, connect: Callable[..., Connection]
) -> None:
    connection, got = connect(), []
    for payload in ("not JSON", "{}", "[]"):
        database.write(
            lambda db, payload=payload: db.execute_sql(
                "INSERT INTO message (queue, precedence, visible, owner, deliveries, payload) "
                "VALUES ('q', 9, 0, '', 0, ?)",
                (payload,),
            )
        )
    connection.Producer().publish("good", routing_key="q")
    with connection.Consumer([Queue("q")], on_message=got.append):
        eventually(lambda: (connection.drain_events(timeout=5), got)[1])
        eventually(lambda: count(database) == 1)
    assert [message.payload for message in got] == ["good"]


def test_exclusive_queue_ends_with_its_connection_and_starts_empty(
    database: Database, connect: Callable[..., Connection]
) -> None:
    queue = Queue("mine", Exchange("x", type="fanout"), exclusive=True)
    first = connect()
    queue(first.default_channel).declare()
    connect().Producer(exchange=queue.exchange, auto_declare=True).publish("old")
    assert count(database) == 1
    second = connect()
    queue(second.default_channel).declare()
    assert count(database) == 0
    second.close()
    assert count(database, "binding") == 0


def test_message_ttl_of_a_queue_applies_to_publishers_of_its_exchange(
    database: Database, connect: Callable[..., Connection]
) -> None:
    exchange = Exchange("x", type="fanout")
    channel = connect().default_channel
    Queue("q", exchange, message_ttl=0.001)(channel).declare()
    connect().Producer(exchange=exchange).publish("short")
    eventually(lambda: channel.queue_declare("q", passive=True).message_count == 0)


def test_queue_can_be_unbound(database: Database, connect: Callable[..., Connection]) -> None:
    exchange = Exchange("x", type="direct")
    bound = Queue("q", exchange, routing_key="key")(connect().default_channel)
    bound.declare()
    bound.unbind_from(exchange, "key")
    connect().Producer(exchange=exchange).publish("nowhere", routing_key="key")
    assert count(database) == 0


def test_name_that_is_too_long_for_an_index_is_refused(connect: Callable[..., Connection]) -> None:
    channel = connect().default_channel
    with pytest.raises(ChannelError, match="192 characters"):
        channel.queue_declare("q" * 192)
    with pytest.raises(ChannelError, match="192 characters"):
        channel.Producer().publish("a", routing_key="q" * 192)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither database nor peewee_url"),
        ({"database": "sqlite:///x"}, "database is a str"),
        ({"peewee_url": "oracle://user:secret@host/db"}, "the scheme is oracle"),
    ],
)
def test_options_without_a_database_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Connection("database://", transport_options=options).connect()
    assert "secret" not in str(caught.value)


def test_url_can_be_printed_without_options() -> None:
    assert Connection("database://").as_uri() == "database://"


def test_connections_to_two_databases_are_not_equal(tmp_path) -> None:
    databases = [Database(f"sqliteext:///{tmp_path}/{name}.sqlite3") for name in "ab"]
    one, other = [Connection("database://", transport_options={"database": database}) for database in databases]
    assert one.__eqhash__() != other.__eqhash__()
    assert one.__eqhash__() == one.clone().__eqhash__()
    assert str(tmp_path) not in repr(one.info())


def test_unavailable_database_is_a_connection_error_that_kombu_retries(tmp_path) -> None:
    gone = Database(f"sqliteext:///{tmp_path}/no/such/folder/db.sqlite3")
    connection = Connection("database://", transport_options={"database": gone})
    with pytest.raises(DatabaseUnavailable):
        connection.connect()
    retries: list[Exception] = []

    def repair(error: Exception, interval: float) -> None:
        retries.append(error)
        (tmp_path / "no" / "such" / "folder").mkdir(parents=True)
        gone.wait_until_up(1, 0.0)

    with connection:
        connection.ensure_connection(repair, max_retries=3, interval_start=0.01)
        assert connection.connected
    assert [type(error) for error in retries] == [DatabaseUnavailable]
    gone.close()


def test_persistent_messages_are_durable(
    database: Database, connect: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    durables: list[bool] = []
    write = database.write
    monkeypatch.setattr(
        database, "write", lambda change, *, durable=False: durables.append(durable) or write(change, durable=durable)
    )
    producer = connect().Producer()
    producer.publish("persistent", routing_key="q", delivery_mode=2)
    producer.publish("transient", routing_key="q", delivery_mode=1)
    assert durables == [True, False]


def test_idle_consumer_takes_no_write_lock(sqlite_url: str) -> None:
    failures: list[str] = []
    with (
        closing(Database(sqlite_url)) as other,
        closing(Database(sqlite_url, busy_timeout=0.0)) as own,
        closing(Hub()) as hub,
    ):
        own.wait_until_up(1, 0.0)
        own.on_failure = failures.append
        with (
            Connection("database://", transport_options={"database": own}) as connection,
            connection.Consumer([Queue("q")], callbacks=[lambda body, message: message.ack()]),
        ):

            def idle(_: object) -> None:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=1)
                connection.register_with_event_loop(hub)
                end = time.monotonic() + 1
                while time.monotonic() < end:
                    hub.run_once()

            other.write(idle)
            assert failures == []
            with pytest.raises(DatabaseUnavailable):
                other.write(lambda _: connection.Producer().publish("a", routing_key="q"))


def test_event_loop_is_woken_for_a_message_after_a_rest(database: Database, connect: Callable[..., Connection]) -> None:
    got: list[int] = []
    connection = connect()
    with (
        closing(Hub()) as hub,
        connection.Consumer([Queue("q")], callbacks=[lambda body, message: (got.append(body), message.ack())]),
    ):
        connection.register_with_event_loop(hub)
        for number in range(3):
            end = time.monotonic() + 0.4
            while time.monotonic() < end:
                hub.run_once()
            connect().Producer().publish(number, routing_key="q")
            eventually(lambda number=number: (hub.run_once(), got[-1:] == [number])[1])
        connection.close()
    assert got == [0, 1, 2]
