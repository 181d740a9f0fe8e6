"""docs/operations.md is followed from top to bottom: the commands are run, and the units' ExecStart with them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import requests

from pacifica.dispatcher.config.celery_settings import CelerySettings
from pacifica.dispatcher.config.parser import parse
from pacifica.dispatcher.core.job import Job, State, new_uuid, now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from ..eventually import eventually
from ..processes import Processes, Running, free_port
from ..services import MYSQL, POSTGRESQL

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = (DOCS / "operations.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
ADDRESS = "127.0.0.1:8050"
OTHERS = ("# As root", "# With Docker", "# PostgreSQL", "# MariaDB")
"""The first words of blocks that the test skips."""
UNITS = {
    name: re.search(r"^ExecStart=/opt/dispatcher/bin/(.*)$", text, re.MULTILINE)
    for name, text in re.findall(r"/system/(\S+)\.service`.*?^```ini\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
}


class Block(NamedTuple):
    """Commands for an operator, and their heading."""

    heading: str
    text: str


def blocks(language: str) -> Iterator[Block]:
    """Yield the blocks of one language in their order."""
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE):
        for text in re.findall(rf"^```{language}\n(.*?)^```", part, re.MULTILINE | re.DOTALL):
            yield Block(part.split("\n", 1)[0], text)


@dataclass
class Machine:
    """A folder in which the two units and a shell run."""

    processes: Processes
    address: str
    running: dict[str, Running] = field(default_factory=dict)

    def type(self, text: str) -> str:
        """Run each line in a shell that stops at the first failure, and return the output."""
        output = ""
        for part in re.split(r"^(systemctl .*\n)", text.replace(ADDRESS, self.address), flags=re.MULTILINE):
            if part.startswith("systemctl "):
                self._systemctl(*part.split()[1:])
            elif part:
                output += self._shell(part)
        return output

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """Send a request to the web server."""
        return requests.request(method, f"http://{self.address}{path}", timeout=30, **more)

    def state(self, uuid: str) -> str:
        """Return the state of a job."""
        return str(self.ask("GET", f"/status/{uuid}").json()["state"])

    def _systemctl(self, verb: str, *units: str) -> None:
        for unit in units:
            if verb == "stop":
                self.running.pop(unit).stop()
                continue
            command = UNITS[unit]
            assert command is not None
            program, *arguments = shlex.split(command[1].replace(ADDRESS, self.address))
            self.running[unit] = self.processes.start(unit, [str(BIN / program), *arguments])
            if unit == "dispatcher-web":  # Its Type=notify makes systemctl wait, too.
                self.running[unit].url = f"http://{self.address}"
                self.running[unit].wait_until_it_serves()

    def _shell(self, text: str) -> str:
        ran = subprocess.run(
            ["bash", "-euc", text],
            cwd=self.processes.cwd,
            env=self.processes.environment({"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}),
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=60,
        )
        assert ran.returncode == 0, f"{text}\n{ran.stdout}{ran.stderr}"
        return ran.stdout


@pytest.fixture
def machine(processes: Processes) -> Machine:
    """An empty machine that needs no broker."""
    address = f"127.0.0.1:{free_port()}"
    processes.env |= {"BROKER_URL": "database://", "DISPATCHER_URL": f"http://{address}"}
    return Machine(processes, address)


def test_page_installs_backs_up_restores_and_upgrades_a_service(machine: Machine) -> None:
    printed: dict[str, str] = {}

    def walk(*headings: str) -> None:
        for heading in headings:
            mine = [block.text for block in blocks("sh") if block.heading == heading]
            printed[heading] = "".join(machine.type(text) for text in mine if not text.startswith(OTHERS))

    def dispatch(options: dict[str, Any]) -> str:
        return str(machine.ask("POST", "/dispatch/add", json={"args": [2, 2], "options": options}).json()["uuid"])

    walk("Install")
    ended, waiting = dispatch({}), dispatch({"countdown": 4})
    eventually(lambda: machine.state(ended) == "SUCCESS")
    walk("Back up")
    assert "ok\n" in printed["Back up"]
    later = dispatch({})
    eventually(lambda: machine.state(later) == machine.state(waiting) == "SUCCESS")
    before = machine.ask("GET", f"/status/{waiting}").json()["finished"]

    walk("Restore")
    assert waiting in printed["Restore"]
    assert machine.state(ended) == "SUCCESS"
    assert machine.ask("GET", f"/status/{later}").status_code == 404
    eventually(lambda: machine.state(waiting) == "SUCCESS")
    assert machine.ask("GET", f"/status/{waiting}").json()["finished"] > before

    walk("Upgrade", "Limit the size", "When something is wrong")
    assert machine.state(ended) == "SUCCESS"
    assert '"database": "ok"' in printed["When something is wrong"]


@pytest.mark.parametrize("kind", [POSTGRESQL, MYSQL])
def test_a_server_is_backed_up_and_restored(machine: Machine, make_database: Callable[[str], str], kind: str) -> None:
    url = make_database(kind)
    # The form that the page recommends, with an option of libpq.
    pooled = f"{url.replace('://', '+pool://')}?max_connections=20&timeout=5"
    machine.processes.env["PEEWEE_URL"] = f"{pooled}&connect_timeout=9" if kind == POSTGRESQL else pooled
    place = urlsplit(url)
    name = place.path[1:]
    (machine.processes.cwd / ".my.cnf").write_text(
        f"[client]\nhost={place.hostname}\nport={place.port or 3306}\nuser={place.username}\n"
        f"password={place.password or ''}\n",
        encoding="utf-8",
    )
    first = "# PostgreSQL" if kind == POSTGRESQL else "# MariaDB"
    dump, restore = (block.text for block in blocks("sh") if block.text.startswith(first))
    with closing(Database(url)) as database:
        database.wait_until_up(1, 0)
        jobs = JobStore(database)
        kept, lost = (
            Job(uuid=new_uuid(), task="add", args=[2, 2], kwargs={}, state=State.PENDING, created=now(), max_attempts=3)
            for _ in range(2)
        )
        jobs.add([kept])
        machine.type(dump.replace(" dispatcher ", f" {name} "))
        jobs.add([lost])
        database.close()
        machine.type(restore.replace(" dispatcher ", f" {name} "))
        assert jobs.get(kept.uuid) is not None
        assert jobs.get(lost.uuid) is None
    machine.type("pacifica-dispatcher-cmd dbchk --equal")


def test_the_settings_that_it_shows_are_valid() -> None:
    for block in blocks("ini"):
        if "[Unit]" not in block.text and "[Service]" not in block.text:
            assert parse(block.text, {}, celery=CelerySettings)


def test_each_alarm_and_each_verdict_has_an_instruction() -> None:
    alarms = re.findall(r"- alert: (\w+)", (DOCS / "metrics.md").read_text(encoding="utf-8"))
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == ["database", "schema", "broker", "outbox", "workers", "tasks", *alarms]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_units_are_confined(tmp_path: Path) -> None:
    for number, unit in enumerate(block.text for block in blocks("ini") if "[Unit]" in block.text):
        path = tmp_path / f"dispatcher-{number}.service"
        path.write_text(unit, encoding="utf-8")
        command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(path)]
        ran = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=30)
        assert ran.returncode == 0, ran.stdout[-200:] + ran.stderr
