"""Pacifica Dispatcher with a database, a broker and settings of a scene's own, started part by part."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ..processes import Command, Group, Process, free_port, group
from ..requesting import Client, Request
from ..servers import POSTGRESQL, RABBITMQ, Servers, lend
from ..stores import SQLITE, Store, missing, new_store
from .commands import node
from .pacifica import Pacifica
from .system import OURS, Live, Place

EMBEDDED = "embedded"
"""The database is the broker, and the web server is the project's own, as ``pacifica-dispatcher-cmd up`` starts it."""
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
TASKS = Path(__file__).parent / "busy_tasks"
PATIENCE = 180.0
LOOK = 0.05
AT_ONCE = 1000


class Ours(Pacifica):
    """``settings`` are more sections for ``config.ini``; ``level`` is the worker's, where it is not Celery's own."""

    environment = OURS

    def __init__(self, store: Store, broker: str = RABBITMQ, settings: str = "", level: str = "") -> None:
        self.store = store
        self._embedded = broker == EMBEDDED
        self.needs = () if self._embedded else (RABBITMQ,)
        self.settings = settings
        self._level = ["-l", level] if level else []
        self._begun = 0

    @property
    def app(self) -> Path:
        """Where tasks of a scene's own are."""
        return TASKS

    def broker(self, place: Place) -> str:
        return "database://" if self._embedded else super().broker(place)

    def database(self, place: Place) -> str:
        return self.store.url

    def prepare(self, place: Place, processes: Group) -> None:
        super().prepare(place, processes)
        self.count_anew()

    def count_anew(self) -> None:
        """Jobs that were made until now do not count."""
        self._begun = int(time.time() * 1e6)

    def web(self, place: Place, processes: int) -> Sequence[Command]:
        if self._embedded:
            return [Command("web", self.python("-m", "pacifica.dispatcher", "-p", str(place.port)))]
        return super().web(place, processes)

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        quiet = ["-l", "info", *QUIET] if self._embedded else self._level
        worker = ["-q", "-A", "pacifica.dispatcher.tasks", "worker", *quiet, *node(place), "-c", str(processes)]
        return [Command("worker", [self.environment / "celery", *worker])]

    def finished(self, place: Place) -> int:
        return self.store.since(self._begun)


class Parts:
    """One start of it, whose web part and workers are started and stopped by themselves."""

    def __init__(self, system: Ours, place: Place, processes: Group) -> None:
        self.system = system
        self.store = system.store
        self.live = Live(system, place, processes)
        self.place = place

    def start_web(self) -> Process:
        """Started, and not waited for."""
        (command,) = self.system.web(self.place, 1)
        return self.live.processes.start(command)

    def start_worker(self, processes: int = 2) -> Process:
        """Started, and not waited for."""
        (command,) = self.system.workers(self.place, processes)
        return self.live.processes.start(command)

    def await_ready(self, seconds: float = 45) -> None:
        """Until the web part accepts jobs."""
        self.wait(self._ready, "the web server was not ready", seconds, look=0.005)

    def await_job(self) -> None:
        """Until one job has gone all the way."""
        with Client(self.place.url) as client:
            job = self.system.job(client.ask(self.system.dispatch))
            client.poll(self.system.status(job), self.system.done, 45)

    def wait(self, done: Callable[[], bool], otherwise: str, seconds: float = PATIENCE, *, look: float = LOOK) -> None:
        """Until it is done; raises ``TimeoutError`` that says ``otherwise``, ``EndedError`` where a process ended."""
        until = time.monotonic() + seconds
        while not done():
            self.live.processes.must_live()
            if time.monotonic() > until:
                raise TimeoutError(f"{otherwise} within {seconds:g} s")
            time.sleep(look)

    def await_end(self, seconds: float = PATIENCE) -> None:
        """Until no job is left."""
        self.wait(lambda: not self.store.left(), f"{self.store.left()} jobs did not end", seconds)

    def send(self, jobs: int, task: str = "add", arguments: Sequence[int] = (2, 2), most: int | None = None) -> None:
        """Dispatch so many, a thousand with each request, of which at most ``most`` wait before the next request."""
        with Client(self.place.url, timeout=120) as client:
            for first in range(0, jobs, AT_ONCE):
                if most is not None:
                    self.wait(lambda: self.store.left() <= most, f"more than {most} jobs were left")
                items = [{"task": task, "args": arguments}] * min(AT_ONCE, jobs - first)
                client.ask(Request("/dispatch", "POST", {"Content-Type": "application/json"}, json.dumps(items)))

    def backlog(self, jobs: int, task: str = "add", arguments: Sequence[int] = (2, 2)) -> int:
        """As ``send``, and until the broker has all; the moment in microseconds since which they were made."""
        begun = int(time.time() * 1e6)
        self.send(jobs, task, arguments)
        self.wait(lambda: not self.store.unsent(), "not all jobs were sent to the broker")
        return begun

    def stop(self, process: Process) -> None:
        """This one and its children."""
        self.live.processes.processes.remove(process)
        self.alone(process).stop()

    def alone(self, *processes: Process) -> Group:
        """Some of the processes, to be measured."""
        some = Group(self.place.folder, {})
        some.processes.extend(processes)
        return some

    def _ready(self) -> bool:
        try:
            with Client(self.place.url, timeout=5) as client:
                return client.send(Request("/health/ready")).status == 200
        except OSError:
            return False


@contextmanager
def parts(system: Ours, servers: Servers) -> Iterator[Parts]:
    """Its configuration and its tables; no process runs yet, and all are stopped in the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-ours-", ignore_cleanup_errors=True)))
        place = Place(folder, free_port(), lend(stack, servers, tuple(system.needs)))
        processes = stack.enter_context(group(folder, place.told | {"PYTHONPATH": str(system.app)}))
        system.prepare(place, processes)
        yield Parts(system, place, processes)


@contextmanager
def fresh_parts(
    servers: Servers, kind: str = SQLITE, broker: str = RABBITMQ, settings: str = "", level: str = ""
) -> Iterator[Parts]:
    """With an empty database of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-store-", ignore_cleanup_errors=True)))
        store = stack.enter_context(new_store(kind, folder))
        yield stack.enter_context(parts(Ours(store, broker, settings, level), servers))


def store_missing(servers: Servers, kind: str, broker: str = RABBITMQ) -> str:
    """Why these cannot be had; empty when they can."""
    needed = [POSTGRESQL] if kind == POSTGRESQL else []
    return servers.missing(*needed, *([] if broker == EMBEDDED else [RABBITMQ])) or missing(kind)


def told(sections: Mapping[str, Mapping[str, str]]) -> str:
    """Settings as ``config.ini`` has them."""
    return "".join(
        f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
        for section, keys in sections.items()
    )
