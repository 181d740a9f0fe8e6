"""``doctor``: a probe job through all stages, and the advice for each kind of failure."""

import json
import re
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

DEAD_BROKER = "amqp://127.0.0.1:1"
SHORT = ("--timeout", "1")
"""For a stage that is never reached."""


@dataclass(frozen=True)
class Services:
    """Services with one worker; each has a directory with its ``config.ini``, and a web server.

    The worker uses the broker and the database of ``healthy``. ``other_database`` shares only its broker,
    ``other_broker`` only its database, ``no_worker`` neither; the broker of ``no_broker`` cannot be reached.
    """

    processes: Processes
    webs: dict[str, Running]

    def doctor(self, folder: str, *options: str, **env: str) -> tuple[int, dict[str, str]]:
        """Run ``doctor`` in that folder: its exit code, and the message and advice of each failed stage."""
        url = self.webs[folder].url if folder in self.webs else "http://127.0.0.1:1"
        home = {"HOME": str(self.processes.cwd), "NO_PROXY": "127.0.0.1"}
        with chdir(self.processes.cwd / folder):
            ran = CliRunner().invoke(main, ["doctor", "--url", url, "--json", *options], env=home | env)
        stages = json.loads(ran.stdout)["stages"]
        failed = [stage for stage in stages if stage["verdict"] == "failed"]
        return ran.exit_code, {stage["stage"]: f"{stage['message']} {stage['advice']}" for stage in failed}

    def run(self, folder: str, *options: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run ``doctor`` in that folder as a process."""
        place = Processes(self.processes.cwd / folder, self.processes.env)
        return place.run("-c", CODE, "doctor", *options, env=env)


def another_redis(url: str) -> str:
    """A Redis database that no other test uses; only the probe jobs of these tests are ever in it."""
    return urlsplit(url)._replace(path="/0").geturl()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Services]:
    """All services and the worker, running."""
    root = Path(tmp_path_factory.mktemp("services"))
    redis = redis_database(worker_id)
    brokers = {
        "healthy": redis,
        "other_database": redis,
        "other_broker": another_redis(redis),
        "no_worker": "database://",
        "no_broker": DEAD_BROKER,
    }
    with Processes(root) as processes:
        webs = {}
        for name, broker in brokers.items():
            (root / name).mkdir()
            database = root / ("healthy" if name == "other_broker" else name) / "db.sqlite3"
            (root / name / "config.ini").write_text(
                f"[database]\npeewee_url = sqliteext:///{database}\n[celery]\nbroker_url = {broker}\n"
                f"[auth]\nanonymous = {'none' if name == 'other_broker' else 'loopback'}\n"
                f"[dispatcher]\nqueues = slow\n",
                encoding="utf-8",
            )
            port = free_port()
            arguments = ["-m", "pacifica.dispatcher", "-p", str(port), "-c", f"{name}/config.ini"]
            webs[name] = processes.start("web", arguments, url=f"http://127.0.0.1:{port}")
        (root / "elsewhere").mkdir()
        processes.start_worker(concurrency=1, env={"DISPATCHER_CONFIG": str(root / "healthy" / "config.ini")})
        for web in webs.values():
            web.wait_until_it_serves()
        yield Services(processes, webs)


def test_probe_job_passes_all_stages(services: Services) -> None:
    ran = services.run("healthy", "--url", services.webs["healthy"].url)
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


def test_client_without_configuration_sees_its_part_also_in_ascii(services: Services) -> None:
    ran = services.run("elsewhere", "--url", services.webs["healthy"].url, PYTHONIOENCODING="ascii")
    assert ran.returncode == 0, ran.stdout
    marks = [line.split()[0] for line in ran.stdout.splitlines()]
    assert marks == ["--", "--", "--", "--", "ok", "ok", "ok", "--", "ok", "ok", "ok", "ok"]
    assert "database                not checked: there is no configuration in this directory" in ran.stdout


def test_server_is_not_running(services: Services) -> None:
    code, failed = services.doctor("elsewhere")
    assert code == 3
    assert failed == {"server": failed["server"]}
    assert "nothing listens at http://127.0.0.1:1 Start the server (python -m pacifica.dispatcher" in failed["server"]


@contextmanager
def listening(greeting: bytes) -> Iterator[str]:
    """The URL of a socket that answers one connection with ``greeting``."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def greet() -> None:
            client, _ = server.accept()
            client.recv(65_536)
            client.sendall(greeting)
            client.close()

        threading.Thread(target=greet, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("greeting", [b"HTTP/1.0 404 Not Found\r\nServer: other/1\r\n\r\nno\n", b"220 mail ready\r\n"])
def test_another_program_uses_the_port(services: Services, greeting: bytes) -> None:
    with listening(greeting) as url:
        code, failed = services.doctor("elsewhere", "--url", url)
    assert code == 3
    assert "something else " in failed["server"]
    assert "Another program uses the port" in failed["server"]


def test_server_answers_that_it_cannot_start(services: Services) -> None:
    body = strict_json.dumps(problem_document.of(CannotStart()))
    with listening(f"HTTP/1.0 503 Service Unavailable\r\n\r\n{body}".encode()) as url:
        code, failed = services.doctor("elsewhere", "--url", url)
    assert code == 1
    assert "HTTP 503: Pacifica Dispatcher cannot start" in failed["server"]
    assert "This is the right server. Read its log" in failed["server"]


def test_token_is_missing(services: Services) -> None:
    code, failed = services.doctor("other_broker")
    assert code == 2
    assert list(failed) == ["accepted"]
    assert "HTTP 401" in failed["accepted"]
    assert "pacifica-dispatcher-cmd token create --name doctor" in failed["accepted"]


def test_server_and_configuration_use_different_databases(services: Services) -> None:
    code, failed = services.doctor("other_database", "--url", services.webs["healthy"].url)
    assert code == 1
    assert list(failed) == ["recorded"]
    assert (
        f"The server uses another database than {services.processes.cwd}/other_database/db.sqlite3."
        in failed["recorded"]
    )
    assert "relative to the working directory" in failed["recorded"]

    code, failed = services.doctor("elsewhere", "--url", services.webs["healthy"].url, BROKER_URL="database://")
    assert code == 1
    assert f"there is no file {services.processes.cwd}/elsewhere/db.sqlite3" in failed["database"]
    assert list(failed) == ["database", "recorded"]
    assert not (services.processes.cwd / "elsewhere" / "db.sqlite3").exists()


def test_database_name_is_unknown(services: Services) -> None:
    url = urlsplit(server_url(POSTGRESQL))._replace(path="/nosuch").geturl()
    code, failed = services.doctor("elsewhere", PEEWEE_URL=url, BROKER_URL="database://")
    assert code == 3
    assert "there is no database with this name" in failed["database"]
    assert "Create it" in failed["database"]


def test_broker_cannot_be_reached(services: Services) -> None:
    code, failed = services.doctor("no_broker", *SHORT)
    assert code == 4
    assert list(failed)[-2:] == ["sent", "broker"]
    assert "The broker cannot be reached" in failed["broker"]
    assert "it waited 1 s for the broker" in failed["sent"]


def test_unused_broker_is_only_a_remark(services: Services) -> None:
    ran = services.run("healthy", "--url", services.webs["healthy"].url, BROKER_URL=DEAD_BROKER)
    assert ran.returncode == 0, ran.stdout
    *_, seen, broker, advice = ran.stdout.splitlines()
    assert (seen[:6], broker[:8]) == ("✓ seen", "! broker")
    assert "The broker cannot be reached" in broker
    assert "server and worker use another broker than this configuration: up uses the database" in advice


def test_broker_that_answers_and_is_not_used_is_a_remark(services: Services) -> None:
    ran = services.run("healthy", "--url", services.webs["healthy"].url, BROKER_URL="database://")
    assert ran.returncode == 0, ran.stdout
    *_, seen, broker, advice = ran.stdout.splitlines()
    assert seen.startswith("✓ seen")
    assert re.fullmatch(
        r"! broker +server and worker do not use it: worker \S+ does not answer at database://\S*", broker
    )
    assert "up uses the database" in advice


def test_no_worker_is_running(services: Services) -> None:
    code, failed = services.doctor("no_worker", *SHORT)
    assert code == 4
    assert "no worker took it within 1 s" in failed["taken"]
    assert "Start a worker: celery -A pacifica.dispatcher.tasks worker" in failed["taken"]
    assert "queue dispatcher of database://" in failed["taken"]
    assert list(failed)[-1] == "taken"


def test_worker_uses_another_database(services: Services) -> None:
    code, failed = services.doctor("other_database", *SHORT)
    assert code == 4
    assert "is not registered in this database: it uses another database" in failed["taken"]


def test_worker_uses_another_broker(services: Services) -> None:
    created = services.processes.run(
        *("-c", CODE, "token", "-c", "other_broker/config.ini", "create", "--name", "doctor"),
        *("--scope", "read", "--scope", "cancel", "--scope", "dispatch:add"),
    )
    code, failed = services.doctor("other_broker", *SHORT, DISPATCHER_TOKEN=created.stdout.strip())
    assert code == 4
    assert re.search(r"No worker answers at redis://\S+/0, but worker test-", failed["taken"])


def test_worker_listens_to_other_queues(services: Services) -> None:
    code, failed = services.doctor("healthy", "--queue", "slow", *SHORT)
    assert code == 4
    assert "does not listen to queue slow: start one with celery" in failed["taken"]


def test_failed_task_is_reported(services: Services) -> None:
    code, failed = services.doctor("healthy", "--task", "fail", "--args", '["on purpose"]')
    assert code == 1
    assert "it ended as FAILURE: RuntimeError: on purpose" in failed["done"]
