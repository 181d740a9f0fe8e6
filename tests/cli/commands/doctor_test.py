"""``doctor``: it sees a job go all the way, and tells each way to fail from the others."""

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import chdir, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from pacifica.dispatcher.cli import main
from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.errors import CannotStart
from pacifica.dispatcher.web import problem_document

from ...processes import Processes, Running, free_port
from ...services import POSTGRESQL, redis_database, server_url
from ..conftest import CODE

pytestmark = pytest.mark.slow

DEAD = "amqp://127.0.0.1:1"
BRIEFLY = ("--timeout", "1")
"""Where nothing is to come."""


@dataclass(frozen=True)
class Town:
    """Services that share one worker, or do not: each has a folder with its ``config.ini``, and a web server.

    The worker has the broker and the database of ``well``; ``far`` has its broker and another database,
    ``deaf`` its database and another broker, ``alone`` has neither.
    """

    processes: Processes
    webs: dict[str, Running]

    def doctor(self, folder: str, *options: str, **env: str) -> tuple[int, dict[str, str]]:
        """Its exit code, and what it told of each stage that failed; run in that folder, in this process."""
        url = self.webs[folder].url if folder in self.webs else "http://127.0.0.1:1"
        home = {"HOME": str(self.processes.cwd), "NO_PROXY": "127.0.0.1"}
        with chdir(self.processes.cwd / folder):
            ran = CliRunner().invoke(main, ["doctor", "--url", url, "--json", *options], env=home | env)
        stages = json.loads(ran.stdout)["stages"]
        failed = [stage for stage in stages if stage["verdict"] == "failed"]
        return ran.exit_code, {stage["stage"]: f"{stage['told']} {stage['advice']}" for stage in failed}

    def run(self, folder: str, *options: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """The same as a process."""
        place = Processes(self.processes.cwd / folder, self.processes.env)
        return place.run("-c", CODE, "doctor", *options, env=env)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Town]:
    """All of them, with a token for each in the environment of the doctor."""
    root = Path(tmp_path_factory.mktemp("town"))
    redis = redis_database(worker_id)
    brokers = {"well": redis, "far": redis, "deaf": "database://", "alone": "database://", "cut": DEAD}
    with Processes(root) as processes:
        webs = {}
        for name, broker in brokers.items():
            (root / name).mkdir()
            database = root / ("well" if name in ("well", "deaf") else name) / "db.sqlite3"
            (root / name / "config.ini").write_text(
                f"[database]\npeewee_url = sqliteext:///{database}\n[celery]\nbroker_url = {broker}\n"
                f"[auth]\nanonymous = {'none' if name == 'deaf' else 'loopback'}\n",
                encoding="utf-8",
            )
            port = free_port()
            arguments = ["-m", "pacifica.dispatcher", "-p", str(port), "-c", f"{name}/config.ini"]
            webs[name] = processes.start("web", arguments, url=f"http://127.0.0.1:{port}")
        (root / "elsewhere").mkdir()
        processes.start_worker(concurrency=1, env={"DISPATCHER_CONFIG": str(root / "well" / "config.ini")})
        for web in webs.values():
            web.wait_until_it_serves()
        yield Town(processes, webs)


def test_a_canary_goes_all_the_way(town: Town) -> None:
    ran = town.run("well", "--url", town.webs["well"].url)
    assert ran.returncode == 0, ran.stdout
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert [(line[0], line[1]) for line in lines] == [
        ("✓", stage)
        for stage in (
            *("configuration", "database", "schema", "broker", "server", "ready"),
            *("accepted", "recorded", "sent", "taken", "done", "seen"),
        )
    ]
    assert all(line[3] == "ms" for line in lines), ran.stdout
    assert "its result is 4" in ran.stdout


def test_a_client_sees_its_part_also_on_a_plain_terminal(town: Town) -> None:
    ran = town.run("elsewhere", "--url", town.webs["well"].url, PYTHONIOENCODING="ascii")
    assert ran.returncode == 0, ran.stdout
    marks = [line.split()[0] for line in ran.stdout.splitlines()]
    assert marks == ["--", "--", "--", "--", "ok", "ok", "ok", "--", "ok", "ok", "ok", "ok"]
    assert "database                not looked at: there is no configuration here" in ran.stdout


def test_nothing_listens(town: Town) -> None:
    code, failed = town.doctor("elsewhere")
    assert code == 3
    assert failed == {"server": failed["server"]}
    assert "nothing listens at http://127.0.0.1:1 Start the server (python -m pacifica.dispatcher" in failed["server"]


@contextmanager
def listening(greeting: bytes) -> Iterator[str]:
    """The URL of something that answers one connection so."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def greet() -> None:
            client, _ = server.accept()
            client.recv(65_536)
            client.sendall(greeting)
            client.close()

        threading.Thread(target=greet, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("greeting", [b"HTTP/1.0 404 Not Found\r\nServer: other/1\r\n\r\nno\n", b"220 mail ready\r\n"])
def test_something_else_listens(town: Town, greeting: bytes) -> None:
    with listening(greeting) as url:
        code, failed = town.doctor("elsewhere", "--url", url)
    assert code == 3
    assert "something else " in failed["server"]
    assert "Another program uses the port" in failed["server"]


def test_the_server_is_there_and_cannot_start(town: Town) -> None:
    body = strict_json.dumps(problem_document.of(CannotStart()))
    with listening(f"HTTP/1.0 503 Service Unavailable\r\n\r\n{body}".encode()) as url:
        code, failed = town.doctor("elsewhere", "--url", url)
    assert code == 1
    assert "HTTP 503: Pacifica Dispatcher cannot start" in failed["server"]
    assert "It is the right server. Read its log" in failed["server"]


def test_a_token_is_needed(town: Town) -> None:
    code, failed = town.doctor("deaf")
    assert code == 2
    assert list(failed) == ["accepted"]
    assert "HTTP 401" in failed["accepted"]
    assert "pacifica-dispatcher-cmd token create --name doctor" in failed["accepted"]


def test_server_and_configuration_have_different_databases(town: Town) -> None:
    code, failed = town.doctor("far", "--url", town.webs["well"].url)
    assert code == 1
    assert list(failed) == ["recorded"]
    assert f"The server uses another one than {town.processes.cwd}/far/db.sqlite3." in failed["recorded"]
    assert "relative to the working directory" in failed["recorded"]

    code, failed = town.doctor("elsewhere", "--url", town.webs["well"].url, BROKER_URL="database://")
    assert code == 1
    assert f"there is no file {town.processes.cwd}/elsewhere/db.sqlite3" in failed["database"]
    assert list(failed) == ["database", "recorded"]
    assert not (town.processes.cwd / "elsewhere" / "db.sqlite3").exists()


def test_the_server_has_no_database_of_that_name(town: Town) -> None:
    url = urlsplit(server_url(POSTGRESQL))._replace(path="/nosuch").geturl()
    code, failed = town.doctor("elsewhere", PEEWEE_URL=url, BROKER_URL="database://")
    assert code == 3
    assert "there is no database of that name" in failed["database"]
    assert "Create it" in failed["database"]


def test_the_broker_is_away(town: Town) -> None:
    code, failed = town.doctor("cut", *BRIEFLY)
    assert code == 4
    assert list(failed)[-2:] == ["sent", "broker"]
    assert "The broker cannot be reached" in failed["broker"]
    assert "it waited 1 s for the broker" in failed["sent"]


def test_a_broker_that_nobody_uses_is_a_remark(town: Town) -> None:
    ran = town.run("well", "--url", town.webs["well"].url, BROKER_URL=DEAD)
    assert ran.returncode == 0, ran.stdout
    *_, seen, broker, advice = ran.stdout.splitlines()
    assert (seen[:6], broker[:8]) == ("✓ seen", "! broker")
    assert "The broker cannot be reached" in broker
    assert "server and worker have another broker than this configuration: up has the database" in advice


def test_there_is_no_worker(town: Town) -> None:
    code, failed = town.doctor("alone", *BRIEFLY)
    assert code == 4
    assert "no worker took it within 1 s" in failed["taken"]
    assert "Start a worker: celery -A pacifica.dispatcher.tasks worker" in failed["taken"]
    assert "queue dispatcher of database://" in failed["taken"]
    assert list(failed)[-1] == "taken"


def test_the_worker_has_another_database(town: Town) -> None:
    code, failed = town.doctor("far", *BRIEFLY)
    assert code == 4
    assert "is not registered in this database: it uses another one" in failed["taken"]


def test_the_worker_has_another_broker(town: Town) -> None:
    made = town.processes.run(
        *("-c", CODE, "token", "-c", "deaf/config.ini", "create", "--name", "doctor"),
        *("--scope", "read", "--scope", "cancel", "--scope", "dispatch:add"),
    )
    code, failed = town.doctor("deaf", *BRIEFLY, DISPATCHER_TOKEN=made.stdout.strip())
    assert code == 4
    assert "No worker answers at database://, but the database knows worker test-" in failed["taken"]


def test_the_worker_listens_to_other_queues(town: Town) -> None:
    code, failed = town.doctor("well", "--queue", "slow", *BRIEFLY)
    assert code == 4
    assert "does not listen to queue slow: start one with celery" in failed["taken"]


def test_a_task_that_fails_is_told(town: Town) -> None:
    code, failed = town.doctor("well", "--task", "fail", "--args", '["on purpose"]')
    assert code == 1
    assert "it ended as FAILURE: RuntimeError: on purpose" in failed["done"]
