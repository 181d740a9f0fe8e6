"""What the design promises of the package as a whole: imports go down only, and importing does nothing."""

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
NOT_HERE = {"pacifica.dispatcher.web.server.gthread"} if os.name == "nt" else set()
"""There is no gunicorn on Windows."""


OF_WORKERS = {
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
    """Every module of the package, by its file."""
    paths = (path.relative_to(PACKAGE.parent.parent).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted({".".join(path.parts).removesuffix(".__init__") for path in paths} - NOT_HERE)


def watched_import(cwd: Path, *names: str) -> "subprocess.CompletedProcess[str]":
    """Import the modules in a process that tells what the first busy one of them did."""
    command = [sys.executable, str(PROGRAMS / "watch_imports.py"), *names]
    return subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", check=False, timeout=60)


def test_importing_a_module_does_no_io(tmp_path: Path) -> None:
    (tmp_path / "config.ini").write_text("this is not read", encoding="utf-8")
    told = watched_import(tmp_path, *module_names())
    assert (told.stderr, told.returncode) == ("", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["config.ini"]


def test_a_module_that_does_io_is_detected(tmp_path: Path) -> None:
    told = watched_import(tmp_path, "busy_module")
    for deed in ("BROKER_URL", "DISPATCHER_CONFIG", "PEEWEE_URL", "open config.ini", "sqlite3.connect", "socket.bind"):
        assert deed in told.stderr


def test_gunicorn_master_does_not_import_modules_of_its_workers(tmp_path: Path) -> None:
    (tmp_path / "config.ini").write_text(
        "[celery]\nworker_concurrency = 2\n[logging]\nformat = json\n", encoding="utf-8"
    )
    told = subprocess.run(
        [sys.executable, str(PROGRAMS / "gunicorn_master.py")],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=60,
    )
    imported = set(told.stdout.split())
    assert not imported & OF_WORKERS
    assert "pacifica.dispatcher.web.server.gthread" in imported
    assert json.loads(told.stderr)["message"] == "in our form"


@pytest.mark.parametrize(
    ("entry", "others"),
    [
        ("wsgi", {"celery.worker", "kombu.transport.virtual", "pacifica.dispatcher.worker.bootsteps"}),
        ("tasks", {"cheroot", "cherrypy", "kombu.transport.virtual", "prometheus_client", "requests"}),
    ],
)
def test_server_and_worker_do_not_import_modules_of_the_other(entry: str, others: set[str]) -> None:
    code = f"import sys, pacifica.dispatcher.{entry}; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, timeout=60)
    assert not set(told.stdout.split()) & others


def test_the_package_is_part_of_a_namespace() -> None:
    assert not (PACKAGE.parent / "__init__.py").exists()


def test_imports_go_down_only() -> None:
    told = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    assert told.returncode == 0, told.stdout + told.stderr
