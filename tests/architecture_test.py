"""The package as a whole: imports go down only, and importing a module does no I/O."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pacifica.dispatcher

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PROGRAMS = ROOT / "tests" / "programs"
PACKAGE = Path(pacifica.dispatcher.__file__).parent
NOT_ON_THIS_SYSTEM = (
    {"pacifica.dispatcher.gunicorn_conf", "pacifica.dispatcher.monitoring.metrics.shared_folder"}
    if os.name == "nt"
    else set()
)
"""gunicorn does not run on Windows."""


WORKER_MODULES = {
    *("amqp", "billiard", "celery", "cheroot", "cherrypy", "click", "kombu", "peewee", "playhouse"),
    *("prometheus_client", "requests", "rich"),
    *(
        "pacifica.dispatcher.app",
        "pacifica.dispatcher.core.registry",
        "pacifica.dispatcher.store",
        "pacifica.dispatcher.wsgi",
    ),
}


def module_names() -> list[str]:
    """Return the names of all modules of the package."""
    paths = (path.relative_to(PACKAGE.parent.parent).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted({".".join(path.parts).removesuffix(".__init__") for path in paths} - NOT_ON_THIS_SYSTEM)


def watched_import(cwd: Path, *names: str) -> "subprocess.CompletedProcess[str]":
    """Import the modules in a process that fails at the first one that does I/O."""
    command = [sys.executable, str(PROGRAMS / "watch_imports.py"), *names]
    return subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", check=False, timeout=60)


def test_importing_a_module_does_no_io(tmp_path: Path) -> None:
    (tmp_path / "config.ini").write_text("this is not read", encoding="utf-8")
    ran = watched_import(tmp_path, *module_names())
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["config.ini"]


def test_a_module_that_does_io_is_detected(tmp_path: Path) -> None:
    ran = watched_import(tmp_path, "busy_module")
    for deed in ("BROKER_URL", "DISPATCHER_CONFIG", "PEEWEE_URL", "open config.ini", "sqlite3.connect", "socket.bind"):
        assert deed in ran.stderr


def test_gunicorn_master_does_not_import_modules_of_its_workers(tmp_path: Path) -> None:
    (tmp_path / "config.ini").write_text(
        "[celery]\nworker_concurrency = 2\n[logging]\nformat = json\n", encoding="utf-8"
    )
    ran = subprocess.run(
        [sys.executable, str(PROGRAMS / "gunicorn_master.py")],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=60,
    )
    imported = set(ran.stdout.split())
    assert not imported & WORKER_MODULES
    assert json.loads(ran.stderr)["message"] == "in our form"


@pytest.mark.parametrize(
    ("entry", "others"),
    [
        ("wsgi", {"celery.worker", "kombu.transport.virtual", "pacifica.dispatcher.worker.bootsteps"}),
        ("tasks", {"cheroot", "cherrypy", "kombu.transport.virtual", "prometheus_client", "requests"}),
    ],
)
def test_server_and_worker_do_not_import_modules_of_the_other(entry: str, others: set[str]) -> None:
    code = f"import sys, pacifica.dispatcher.{entry}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, timeout=60)
    assert not set(ran.stdout.split()) & others


def test_the_package_is_part_of_a_namespace() -> None:
    assert not (PACKAGE.parent / "__init__.py").exists()


def test_imports_go_down_only() -> None:
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
