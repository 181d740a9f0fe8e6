"""Remote control: several workers of one name on a real RabbitMQ, and revocations that outlive the workers."""

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from kombu.connection import Connection
from kombu.pidbox import Node

from pacifica.dispatcher.config.load import load_settings
from pacifica.dispatcher.container import Container
from pacifica.dispatcher.core.job import State

from ..eventually import eventually
from ..store.job_steps import claim
from ..worker.local_worker import local_worker


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


def test_revoked_job_does_not_wait_for_a_worker(sqlite_url: str) -> None:
    with local_worker(sqlite_url) as worker:
        jobs = [worker.app.send_task("add", (1, 2)) for _ in range(4)]
        for job in jobs[2:]:
            claim(worker.container.jobs, job.id, "t")
        jobs[0].revoke()
        worker.app.control.revoke([jobs[2].id])
        worker.app.control.revoke([jobs[1].id, jobs[3].id], terminate=True)
        states = [worker.job(job.id).state for job in jobs]
        assert states == [State.REVOKED, State.REVOKED, State.STARTED, State.STARTED]
        assert [worker.job(job.id).cancel for job in jobs[2:]] == [False, True]
