"""Remote control on a real RabbitMQ, for several workers of one name."""

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from kombu.connection import Connection
from kombu.pidbox import Node

from pacifica.dispatcher.config.load import load_settings
from pacifica.dispatcher.container import Container

from ..eventually import eventually


def test_two_workers_of_one_name_both_obey_remote_control(rabbitmq_url: str, tmp_path: Path) -> None:
    environ = {"BROKER_URL": rabbitmq_url, "HOME": str(tmp_path)}
    app, name = Container(lambda: load_settings(environ=environ)).app, f"test-{uuid4().hex}@lab"
    pinged: list[int] = []
    with Connection(rabbitmq_url) as first, Connection(rabbitmq_url) as second:
        for number, connection in enumerate((first, second)):
            node: Node = app.control.mailbox.Node(name, channel=connection.default_channel)
            node.handlers["ping_test"] = lambda _state, number=number: pinged.append(number)
            node.listen()  # The second one would raise ResourceLocked.
        app.control.broadcast("ping_test", destination=[name])

        def both() -> bool:
            for connection in (first, second):
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.1)
            return sorted(pinged) == [0, 1]

        eventually(both, 10)
