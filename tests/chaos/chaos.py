"""Clients dispatch without pause while workers, web processes and the broker are killed; then every job is checked.

``python -m tests.chaos.chaos --minutes 30 --broker rabbitmq --database sqlite``, or ``make chaos``. It
starts and stops its own servers, prints a table of the run, and fails if a job was lost, doubled or wrong.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import requests

from ..eventually import eventually
from ..faults.invariants import Record, check_record
from ..faults.servers import Server, rabbitmq, redis
from ..processes import Processes, Running, free_port
from ..services import BROKERS, DATABASES, RABBITMQ, REDIS, SQLITE, fresh_database
from .foreign import REDIS_SETTING, ForeignClient, open_jobs, stored
from .outcomes import Accepted, wrong, wrong_runs

CONFIG = """
[database]
peewee_url = {database}
busy_timeout = 10
[celery]
broker_url = {broker}
{celery}
[dispatcher]
tasks = chaos_tasks
lease_seconds = 2
republish_seconds = 3
relay_interval = 0.2
max_attempts = 1000
"""
TASKS = Path(__file__).parent / "programs" / "chaos_tasks.py"
CLIENTS = 4
PROGRESS = 180.0
"""Seconds in which at least one more job must end after the last kill, until all have ended."""
PATIENCE = 20.0
"""Seconds for which a client repeats an unanswered request with the same key."""


@dataclass
class Victim:
    """A process that is killed and started again; ``start`` does not wait until it is ready."""

    name: str
    start: Callable[[], Running]
    running: Running
    back_at: float = 0.0

    def restart(self) -> None:
        """Start it again if it has ended, after killing the rest of its process group."""
        if self.running.popen.poll() is not None:
            self.running.kill()
            self.running = self.start()


@dataclass
class Chaos:
    """A run against the service in ``processes.cwd``; ``broker`` is None if the database is the broker.

    ``foreign_share`` of the jobs are sent by a program without the dispatcher.
    """

    processes: Processes
    database_url: str
    broker: Server | None
    broker_url: str
    rate: float
    chance: random.Random
    foreign_share: float = 0.0
    foreign: ForeignClient | None = None
    broker_back_at: float = 0.0
    victims: list[Victim] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, seconds: float, at_least: int = 20) -> Record:
        """Dispatch and kill for so long, wait for the end of all jobs, and check them; raises ``AssertionError``.

        On a busy machine it continues until at least ``at_least`` jobs were accepted.
        """
        self._set_up()
        clients = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        if self.foreign_share:
            rate = self.rate * self.foreign_share
            self.foreign = ForeignClient(self.processes, self.broker_url, self.database_url, rate, self.chance.random())
        try:
            self._kill_for(seconds, at_least)
        finally:
            self.stopping.set()
            for client in clients:
                client.join()
        began = time.monotonic()
        if self.foreign is not None:
            self.foreign.stop()
        while (left := self._still_open()) and eventually(
            lambda left=left: self._still_open() < left, PROGRESS, f"{left} jobs are open, and none of them ended"
        ):
            pass
        self.tally["seconds until all had ended"] = round(time.monotonic() - began)
        return self._check()

    def _set_up(self) -> None:
        celery = REDIS_SETTING if self.broker_url.startswith("redis") else ""
        self.processes.write_config(CONFIG.format(database=self.database_url, broker=self.broker_url, celery=celery))
        self.processes.add_module(TASKS)
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        web = ("-m", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", "pacifica.dispatcher.wsgi:application")
        worker = ("-m", "celery", "-A", "pacifica.dispatcher.tasks", "worker", "-l", "warning", "-c", "2")
        for name, arguments in (("web", web), ("worker", (*worker, "-n", "a@%h")), ("worker", (*worker, "-n", "b@%h"))):
            # The defaults bind the values of this iteration.
            def start(name: str = name, arguments: Sequence[str] = arguments) -> Running:
                return self.processes.start(name, arguments, url=self.url)

            self.victims.append(Victim(name, start, start()))
        self.victims[0].running.wait_until_it_serves()

    def _kill_for(self, seconds: float, at_least: int) -> None:
        """Kill something about every second; it is started again a moment later."""
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds or (passed < PROGRESS and len(self.accepted) < at_least):
            self._restart()
            self._kill_something()
            self.stopping.wait(self.chance.uniform(0.3, 2.0))
        self._restart(at_once=True)
        if self.broker is not None:
            eventually(self.broker.answers, PROGRESS, "the broker does not come back")

    def _restart(self, *, at_once: bool = False) -> None:
        """Start what has been down for long enough."""
        for victim in [one for one in self.victims if at_once or one.back_at <= time.monotonic()]:
            victim.restart()
        if (
            self.broker is not None
            and self.broker.popen is None
            and (at_once or self.broker_back_at <= time.monotonic())
        ):
            self.broker.launch()

    def _kill_something(self) -> None:
        name = self.chance.choices(["worker", "web", "broker", ""], [4, 2, 1, 2])[0]
        if name == "broker":
            # A broker that is just starting is spared, as it would never come up.
            if self.broker is not None and self.broker.popen is not None and self.broker.answers():
                self.broker.kill()
                self.broker_back_at = time.monotonic() + self.chance.uniform(0, 4)
                self.tally["killed: broker"] += 1
        elif up := [one for one in self.victims if one.name == name and one.running.popen.poll() is None]:
            victim = self.chance.choice(up)
            victim.back_at = time.monotonic() + self.chance.uniform(0, 3)
            self._kill(victim)

    def _kill(self, victim: Victim) -> None:
        """Kill the process with its children, the process alone, or one of its children."""
        how = self.chance.choice(["all", "all", "first", "child"])
        children = _children(victim.running.popen.pid)
        if how == "child" and children:
            with suppress(ProcessLookupError):
                os.kill(self.chance.choice(children), signal.SIGKILL)
        elif how == "first":
            victim.running.send(signal.SIGKILL)
        else:
            victim.running.kill()
        self.tally[f"killed: {victim.name}, {how}"] += 1

    def _client(self, number: int) -> None:
        chance = random.Random(f"{self.chance.random()} {number}")
        session = requests.Session()
        count = 0
        rate = self.rate * (1 - self.foreign_share)
        while not self.stopping.wait(chance.uniform(0, 2 * CLIENTS / rate)):
            count += 1
            self._dispatch(session, chance, f"{number}-{count}")

    def _dispatch(self, session: requests.Session, chance: random.Random, token: str) -> None:
        """Dispatch by GET or by POST; an unanswered POST is repeated with its key."""
        n = chance.randrange(10**6)
        began = time.monotonic()
        if chance.random() < 0.3:
            seconds, failures = chance.choice([0.0, 0.0, 0.1, 0.6]), chance.choice([0, 0, 0, 2])
            options = {"countdown": 1.0} if chance.random() < 0.2 else {}
            body = {"args": [token, n, seconds, failures], "options": options}
            uuid = None
            while uuid is None and time.monotonic() < began + PATIENCE:
                uuid = self._send(session, "POST", "/dispatch/work", json=body, headers={"Idempotency-Key": token})
        else:
            uuid = self._send(session, "GET", f"/dispatch/work/{token}/{n}")
        if uuid is None:
            self.tally["dispatches without an answer"] += 1
            return
        job = Accepted(token, n, uuid)
        if chance.random() < 0.05:
            job.cancelled = True
            with suppress(requests.RequestException):
                job.cancel = session.delete(f"{self.url}/status/{uuid}", timeout=10).status_code
        self.accepted.append(job)

    def _send(self, session: requests.Session, method: str, path: str, **options: object) -> str | None:
        """Return the UUID; ``None`` without an answer or after an error."""
        began = time.monotonic()
        try:
            answer = session.request(method, f"{self.url}{path}", timeout=10, **options)  # type: ignore[arg-type]
        except requests.RequestException:
            self.stopping.wait(0.1)
            return None
        if not answer.ok:
            self.tally[f"answered {answer.status_code}"] += 1
            self.stopping.wait(0.1)
            return None
        self.slowest = max(self.slowest, time.monotonic() - began)
        return str(answer.json()["uuid"]) if method == "POST" else answer.text

    def _still_open(self) -> int:
        self._restart(at_once=True)
        return open_jobs(self.database_url) + (self.foreign.open() if self.foreign else 0)

    def _check(self) -> Record:
        known = stored(self.database_url)
        self.victims[0].running.wait_until_it_serves()
        if self.foreign is not None:
            self.accepted += self.foreign.kept(self.tally)
        record = check_record(self.database_url, {*known, *(one.uuid for one in self.accepted)}, self.url)
        rows = Counter(str(job.args[0]) for job in record.jobs.values())
        runs = Counter((self.processes.cwd / "runs").read_text().split())
        faults = [f"{token} has {count} jobs" for token, count in rows.items() if count > 1]
        for one in self.accepted:
            faults += wrong(one, record.jobs[one.uuid])
        for job in record.jobs.values():
            faults += wrong_runs(job, record, runs[str(job.args[0])])
        self._count(record, known)
        assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:20])
        return record

    def _count(self, record: Record, known: Collection[str]) -> None:
        self.tally["jobs answered"] = len(self.accepted)
        self.tally["jobs in the record"] = len(known)
        for job in record.jobs.values():
            self.tally[f"ended: {job.state}"] += 1
            self.tally["attempts that were lost"] += record.history[job.uuid].count("LOST")
            for kind in ("DROPPED", "LATE", "RETRY"):
                self.tally[f"events: {kind}"] += record.history[job.uuid].count(kind)

    def table(self) -> str:
        """Return the counts as a Markdown table."""
        counts = {name: str(number) for name, number in sorted(self.tally.items())}
        counts["slowest answer, seconds"] = f"{self.slowest:.2f}"
        return "\n".join(
            ["| event | count |", "| --- | ---: |", *(f"| {name} | {count} |" for name, count in counts.items())]
        )


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


@contextmanager
def prepared(broker: str, database: str, *, seed: int, rate: float, foreign: bool = True) -> Iterator[Chaos]:
    """A run with a broker and a database of a kind, in a temporary directory; everything is stopped at the end.

    ``foreign``: with RabbitMQ and Redis half of the jobs are sent by a program without the dispatcher.
    """
    with ExitStack() as last:
        cwd = Path(last.enter_context(tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True)))
        own = {RABBITMQ: rabbitmq, REDIS: partial(redis, durable=foreign)}.get(broker)
        server = last.enter_context(own()) if own is not None else None
        url = f"sqliteext:///{cwd}/db.sqlite3"
        if database != SQLITE:
            url = last.enter_context(fresh_database(database))
        processes = last.enter_context(Processes(cwd, measured=False))
        last.callback(lambda: [one.kill() for one in processes.running])
        broker_url = server.url if server is not None else "database://"
        share = 0.5 if foreign and server is not None else 0.0
        yield Chaos(processes, url, server, broker_url, rate, random.Random(seed), foreign_share=share)


def main() -> int:
    """Run with the options of the command line; return 1 if a job was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--broker", choices=BROKERS, default=RABBITMQ)
    parser.add_argument("--database", choices=DATABASES, default=SQLITE)
    parser.add_argument("--rate", type=float, default=40, help="approximate dispatches per second")
    parser.add_argument(
        "--foreign",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="send half of the jobs by delay() in a program without the dispatcher (RabbitMQ and Redis)",
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    title = f"### {datetime.now(UTC):%Y-%m-%d}: {given.broker}, {given.database}, {given.minutes:g} minutes\n\n"
    options = f"--rate {given.rate:g} --seed {given.seed}{'' if given.foreign else ' --no-foreign'}"
    title += f"Commit {commit()}, `{options}`, {os.cpu_count()} processors.\n"
    print_line(f"{title}\nThe title is printed again at the end, with the table.")
    with prepared(given.broker, given.database, seed=given.seed, rate=given.rate, foreign=given.foreign) as chaos:
        try:
            chaos.run(given.minutes * 60)
        except AssertionError as error:
            for victim in chaos.victims:
                victim.running.send_to_all(signal.SIGABRT)  # Its output then ends with the stacks of its threads.
            time.sleep(1)
            kept = Path(tempfile.mkdtemp(prefix="chaos-kept-"))
            shutil.copytree(chaos.processes.cwd, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.ctl"))
            print_line(f"\n{title}\n{chaos.table()}\n\n{error}")
            print_line(f"The record and the output of all processes are kept in {kept}.")
            return 1
        print_line(f"\n{title}\n{chaos.table()}\n\nNo job was lost, doubled or wrong.")
    return 0


def commit() -> str:
    """Return the commit of the working tree, with ``-dirty`` if files have changed since."""
    command = ("git", "describe", "--always", "--dirty", "--exclude=*")
    described = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, encoding="utf-8", check=False)
    return described.stdout.strip() or "unknown"


def print_line(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
