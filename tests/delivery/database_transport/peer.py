"""A process at the other end of a queue, for tests that kill it: ``peer.py URL OPTIONS QUEUE COMMAND [ARGUMENT]…``.

``hold`` receives a message and keeps it; ``consume FILE`` notes each message's body and acknowledges it;
``produce FILE NAME COUNT`` publishes bodies "NAME-1" … and notes those that the broker has accepted.
"""

import json
import os
import signal
import sys
from pathlib import Path

from kombu import Connection, Exchange, Queue

import pacifica.dispatcher.delivery.database_transport  # noqa: F401 - registers database://


def note(path: str, line: str) -> None:
    """Append a line in one write, which a kill cannot tear."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def say(line: str) -> None:
    """Print a line for the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def noted(path: Path) -> list[str]:
    """The lines that peers have noted so far."""
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def task_queue(name: str) -> Queue:
    """A durable queue with priorities, bound to an exchange of the same name."""
    return Queue(name, Exchange(name), routing_key=name, max_priority=9)


def hold(connection: Connection, queue: Queue) -> None:
    """Receive one message and print it; never acknowledge it."""
    with connection.Consumer([queue], callbacks=[lambda body, message: say(f"holds {body}")], prefetch_count=1):
        connection.drain_events()
        signal.pause()


def consume(connection: Connection, queue: Queue, path: str) -> None:
    """Note and acknowledge all messages."""

    def on_message(body: str, message: object) -> None:
        note(path, body)
        message.ack()

    consumer = connection.Consumer([queue], callbacks=[on_message], prefetch_count=10)
    with consumer:
        say("consumes")
        while True:
            connection.drain_events()


def produce(connection: Connection, queue: Queue, path: str, name: str, count: str) -> None:
    """Publish messages, and note those that the broker has accepted."""
    producer = connection.Producer(exchange=queue.exchange, routing_key=queue.name)
    queue(connection.default_channel).declare()
    for number in range(1, int(count) + 1):
        producer.publish(f"{name}-{number}", delivery_mode=2)
        note(path, f"{name}-{number}")


def main() -> None:
    """Run the command of the command line."""
    url, options, queue, command, *arguments = sys.argv[1:]
    with Connection(url, transport_options=json.loads(options)) as connection:
        {"hold": hold, "consume": consume, "produce": produce}[command](connection, task_queue(queue), *arguments)


if __name__ == "__main__":
    main()
