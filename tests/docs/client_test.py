"""Runs the examples of docs/client.md and examples/sweep.py: sessions, console lines and the script."""

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..processes import Processes
from .readme_test import ROOT, blocks, masked, session

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
YIELD_OF = """

@task
def yield_of(temperature: float, pressure: float) -> float:
    if temperature > 300:
        raise ValueError("too hot")
    return temperature * pressure
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """The service of the README, with a task for the sweep."""
    with Processes(tmp_path_factory.mktemp("service"), {"BROKER_URL": "database://"}) as processes:
        (processes.cwd / "lab.py").write_text(blocks("python")[0] + YIELD_OF, encoding="utf-8")
        processes.write_config(blocks("ini")[0])
        processes.env["DISPATCHER_URL"] = processes.start_web().url
        processes.start_worker()
        yield processes


def test_python_sessions_print_what_the_page_shows(service: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_URL", service.env["DISPATCHER_URL"])
    text = "\n".join(blocks("pycon", PAGE))
    test = doctest.DocTestParser().get_doctest(text, {}, "client.md", "docs/client.md", 0)
    printed: list[str] = []
    assert doctest.DocTestRunner().run(test, out=printed.append).failed == 0, "".join(printed)


def test_console_commands_print_what_the_page_shows(service: Processes) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in blocks("console", PAGE):
        for command, shown in session(block):
            ran = subprocess.run(
                ["bash", "-c", f"exec 2>&1; {command}"],
                cwd=service.cwd,
                env={**os.environ, **service.env, "PATH": path},
                capture_output=True,
                encoding="utf-8",
                check=False,
                timeout=60,
            )
            assert plain(ran.stdout) == plain(shown)


def plain(text: str) -> str:
    """The text without the parts that differ from run to run, and without spaces at the ends of lines."""
    return re.sub(" +$", "", masked(text), flags=re.MULTILINE)


def test_sweep_prints_a_table_of_results_and_failures(service: Processes) -> None:
    script = str(ROOT / "examples" / "sweep.py")
    good, some = (service.run(script, *named) for named in ([], ["lab.yield_of"]))
    assert (good.returncode, good.stderr) == (0, "")
    assert re.search(r"320 +│ 2\.5 +│ 800\.0 ", good.stdout)
    assert re.search(r"300 +│ 1\.5 +│ 450\.0 ", some.stdout)
    assert some.stdout.count("failed: ValueError: too hot") == 4
    assert "usage: sweep.py" in service.run(script, "--help").stdout
    unreachable = service.run(script, env={"DISPATCHER_URL": "nowhere"})
    assert (unreachable.returncode, unreachable.stderr.count("\n")) == (1, 1)


def test_links_to_files_lead_to_files() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGE)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
