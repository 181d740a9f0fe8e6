"""Features of ``database://`` that other brokers lack, and its options; on SQLite only, as no test is about SQL."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from kombu import Connection, Exchange, Queue
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


def test_batch_is_stored_by_one_commit_or_not_at_all(database: Database, connect: Callable[..., Connection]) -> None:
    producer = connect().Producer()
    assert producer.supports_batch_publish
    with producer.batch():
        for number in range(5):
            producer.publish(number, routing_key="q")
        assert count(database) == 0
    assert count(database) == 5
    with ExitStack() as batch:
        batch.enter_context(pytest.raises(ChannelError))
        batch.enter_context(producer.batch())
        producer.publish("lost", routing_key="q")
        producer.publish("refused", routing_key="q" * 192)
    assert count(database) == 5
    producer.publish("single", routing_key="q")
    assert count(database) == 6


def test_full_batch_is_stored_before_its_end(database: Database, connect: Callable[..., Connection]) -> None:
    producer = connect().Producer()
    with producer.batch(max_size=2):
        for number in range(5):
            producer.publish(number, routing_key="q")
        assert count(database) == 4
    assert count(database) == 5


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
    dropped = Connection("database://", transport_options={"database": database})
    assert dropped.default_channel.basic_get("q").payload == "a"
    assert connect().default_channel.basic_get("q") is None
    del dropped

    def free() -> bool:
        import gc

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
        connection.drain_events(timeout=5)
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


def test_queue_can_be_unbound_and_exchange_deleted(database: Database, connect: Callable[..., Connection]) -> None:
    exchange = Exchange("x", type="direct")
    channel = connect().default_channel
    bound = Queue("q", exchange, routing_key="key")(channel)
    bound.declare()
    bound.unbind_from(exchange, "key")
    connect().Producer(exchange=exchange).publish("nowhere", routing_key="key")
    assert count(database) == 0
    bound.queue_bind()
    exchange(channel).delete()
    assert channel.queue_declare("q", passive=True).queue == "q"
    with pytest.raises(ChannelError, match="no exchange"):
        channel.queue_bind("q", "x", "key")


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


@pytest.mark.parametrize("durable", [False, True])
def test_durable_option_makes_persistent_messages_durable(
    database: Database, connect: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    durables: list[bool] = []
    write = database.write
    monkeypatch.setattr(
        database, "write", lambda change, *, durable=False: durables.append(durable) or write(change, durable=durable)
    )
    producer = connect(durable=durable).Producer()
    producer.publish("persistent", routing_key="q", delivery_mode=2)
    producer.publish("transient", routing_key="q", delivery_mode=1)
    with producer.batch():
        producer.publish("persistent", routing_key="q", delivery_mode=2)
        producer.publish("transient", routing_key="q", delivery_mode=1)
    assert durables == [durable, False, durable]
