"""The projects of ``examples/``, as they run without the dispatcher, and with it."""

import json
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..e2e.stack import Stack
from ..eventually import eventually
from ..processes import Processes, Running
from ..services import RABBITMQ

FOLDER = Path(__file__).parent.parent.parent / "examples"
ADOPTED_CLIENT = Path(__file__).parent / "programs" / "adopted_client.py"
READY = r"@\S+ ready\."

Call = tuple[str, list[Any], dict[str, Any]]
Outcomes = dict[str, str]


@dataclass(frozen=True)
class Example:
    """A project: its package, its variables for broker and results, and the calls of its client that HTTP can make."""

    folder: str
    package: str
    broker: str
    results: str
    calls: Mapping[str, Call]
    tasks: AbstractSet[str]
    prepare: Sequence[str] = ()
    converted: Mapping[str, str] = field(default_factory=dict)
    """The outcomes of calls whose result is no JSON: the record has its text."""
    recorded: Mapping[str, str] = field(default_factory=dict)
    """Outcomes of which the record has the job's own error, where Celery's ``get`` raises that of an earlier step."""

    @property
    def readme(self) -> str:
        return (FOLDER / self.folder / "README.md").read_text(encoding="utf-8")

    def copy(self, folder: Path) -> None:
        """Copy the files of the project, and nothing that a run has left."""
        left = shutil.ignore_patterns("__pycache__", "*.sqlite3*", "*.log", "config.ini")
        shutil.copytree(FOLDER / self.folder, folder, ignore=left, dirs_exist_ok=True)


PLAIN_APP = Example(
    "plain_app",
    "proj",
    "BROKER_URL",
    "RESULT_BACKEND",
    {
        "add": ("proj.tasks.add", [2, 3], {}),
        "add_text": ("proj.tasks.add", ["2", "3"], {}),
        "scale": ("proj.tasks.scale", [[1.0, 2.5]], {"factor": 2}),
        "download": ("proj.tasks.download", ["spectrum.csv"], {"outages": 1}),
        "download_in_vain": ("proj.tasks.download", ["image.tif"], {"outages": 9}),
        "calibrate": ("proj.tasks.calibrate", [0.5], {}),
        "calibrate_too_far": ("proj.tasks.calibrate", [2.5], {}),
        "scan": ("proj.tasks.scan", [], {"steps": 3}),
        "price": ("billing.price", ["100.00"], {}),
        "remind": ("proj.tasks.remind", ["Ada", "2027-01-01"], {"days": 14}),
    },
    tasks={
        "billing.price",
        *(f"proj.tasks.{name}" for name in ("add", "calibrate", "download", "note", "remind", "scale", "scan")),
    },
    converted={"price": "'119.0000'"},
)
WORKFLOWS = Example(
    "workflows",
    "shop",
    "CELERY_BROKER_URL",
    "CELERY_RESULT_BACKEND",
    {
        "total": ("shop.orders.total", [{"print": 2, "frame": 1}], {}),
        "album": ("shop.images.album", ["sea", ["tide", "wave"]], {}),
        "letter": ("shop.mail.send", ["ada@example.org", "Hello"], {"refusals": 2}),
        "newsletter": ("shop.mail.newsletter", ["evening"], {}),
        "stock": ("shop.orders.count_stock", [], {}),
    },
    recorded={"contact_sheet_torn": "ChordError: Dependency <uuid> raised ValueError('the negative is torn')"},
    tasks={
        *(f"shop.images.{name}" for name in ("album", "contact_sheet", "develop")),
        *(f"shop.mail.{name}" for name in ("apologize", "newsletter", "send")),
        *(f"shop.orders.{name}" for name in ("charge", "count_stock", "receipt", "total")),
    },
)
DJANGO_LAYOUT = Example(
    "django_layout",
    "mysite",
    "MYSITE_BROKER",
    "MYSITE_RESULTS",
    {
        "buy": ("library.tasks.buy", ["Ulysses"], {}),
        "lend_in_vain": ("library.tasks.lend", ["Faust", "Eve"], {}),
        "missing": ("library.tasks.missing", ["Faust"], {}),
    },
    tasks={f"library.tasks.{name}" for name in ("buy", "index", "lend", "missing", "readers", "remind_readers")},
    prepare=["manage.py", "migrate"],
)
EXAMPLES = {example.folder: example for example in (PLAIN_APP, WORKFLOWS, DJANGO_LAYOUT)}


@dataclass
class Project:
    """A copy of an example, with a web server and one worker, which a test may exchange."""

    example: Example
    broker: str
    processes: Processes
    alone: Outcomes = field(default_factory=dict)
    """The outcomes of its client without the dispatcher."""
    web: Running | None = None
    worker: Running | None = None
    app: str = ""

    def run_alone(self) -> None:
        """Run worker and client as they are without the dispatcher, and keep the outcomes."""
        if self.example.prepare:
            self._run(*self.example.prepare)
        self.use_own_worker()
        self.alone = self.client()
        self.stop_worker()

    def adopt(self) -> None:
        """Write the configuration of its README, and start a web server.

        It is found as ``config.ini``, or by its variable.
        """
        configured = re.findall(r"^```ini\n(.*?)^```", self.example.readme, re.MULTILINE | re.DOTALL)
        if self.broker == RABBITMQ:
            self.processes.write_config(configured[0])
        else:
            path = self.processes.write_config(configured[0], "dispatcher.ini")
            self.processes.env["DISPATCHER_CONFIG"] = str(path)
        self.web = self.processes.start_web()

    @property
    def stack(self) -> Stack:
        assert self.web is not None
        return Stack(self.processes, self.web)

    def use_worker(self, app: str) -> Running:
        """Return a worker that ``celery -A app worker`` has started; another one ends first."""
        if self.worker is None or self.app != app:
            self.stop_worker()
            node = ("-c", "2", "-n", f"example-{uuid.uuid4().hex}@%h")
            self.worker = self.processes.start(
                "worker", ("-m", "celery", "-A", app, "worker", "-l", "info", "--without-mingle", *node)
            )
            self.worker.wait_until_it_says(READY)
            self.app = app
        return self.worker

    def stop_worker(self) -> None:
        """Stop the worker, if one runs."""
        if self.worker is not None:
            assert self.worker.stop() == 0
        self.worker = None

    def client(self) -> Outcomes:
        """Return the outcomes for which its client waits."""
        return masked(json.loads(self._run("client.py")))

    def use_own_worker(self) -> Running:
        """Have jobs run by the command line that the project had before."""
        return self.use_worker(self.example.package)

    @cached_property
    def sent(self) -> dict[str, str]:
        """The ids of jobs that its client has sent without the dispatcher, and that its own worker runs."""
        self.use_own_worker()
        return self.send()

    @cached_property
    def dispatched(self) -> dict[str, str]:
        """The ids of the same jobs, dispatched by HTTP."""
        self.use_own_worker()
        return self.dispatch()

    def send(self) -> dict[str, str]:
        """Have its client send its jobs again."""
        return dict(json.loads(self._run("client.py", "--ids")))

    def adopted_client(self) -> Outcomes:
        """Return the outcomes for which its client waits in a process that has adopted the application."""
        program = str(self.processes.add_module(ADOPTED_CLIENT))
        return masked(json.loads(self._run(program, f"{self.example.package}.celery:app")))

    def dispatch(self) -> dict[str, str]:
        """Dispatch the same jobs by HTTP again."""
        return {
            name: self.stack.dispatch(task, *args, **kwargs)
            for name, (task, args, kwargs) in self.example.calls.items()
        }

    def outcomes(self, ids: Mapping[str, str]) -> Outcomes:
        """Wait for these jobs, and return their outcomes as the client prints them."""
        return masked({name: self._outcome(uuid) for name, uuid in ids.items()})

    def ended(self, uuid: str) -> dict[str, Any]:
        """Wait until a job is final that need not have a row yet, and return it."""
        eventually(lambda: self.stack.get(f"/status/{uuid}").ok, 30, f"job {uuid} got no row")
        return self.stack.ended(uuid)

    def _outcome(self, uuid: str) -> str:
        job = self.ended(uuid)
        if job["state"] == "SUCCESS":
            return repr(job["result"])
        kind = job["error"]["type"].rpartition(".")[2]  # The record has the qualified name of a class within another.
        return f"{kind}: {job['error']['message']}"

    def _run(self, *arguments: str) -> str:
        done = self.processes.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def expected(self) -> Outcomes:
        """Return the outcomes that the client is to print: those without the dispatcher, as far as JSON has them."""
        return {**self.alone, **self.example.converted}

    def expected_in_the_record(self, names: Iterable[str] | None = None) -> Outcomes:
        """Return the outcomes that the record is to have, of the jobs of these names or of all."""
        found = {**self.expected(), **self.example.recorded}
        return {name: found[name] for name in (found if names is None else names)}


def masked(outcomes: Mapping[str, str]) -> Outcomes:
    """Return the outcomes without ids, which the error of a chord has."""
    return {name: re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<uuid>", seen) for name, seen in outcomes.items()}
