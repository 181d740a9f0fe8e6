"""The README and the pages of the API are tests: their tasks, configuration and console lines are run unchanged."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..eventually import eventually
from ..processes import Processes

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "api").glob("*.md"))]


def blocks(language: str, text: str = README) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def masked(text: str) -> str:
    """Return the text without values that change from run to run: ids, times, and the worker's name."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<uuid>", text)
    return re.sub(r'"worker": "[^"]+"', '"worker": <name>', re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text))


def session(text: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with the output that it shows."""
    found = [part.split("\n", 1) for part in re.split(r"^\$ ", text, flags=re.MULTILINE) if part.strip()]
    return [(command, shown) for command, shown in found]


@pytest.fixture
def url(processes: Processes) -> str:
    """The service that the README describes, with its task and its configuration."""
    (processes.cwd / "lab.py").write_text(blocks("python")[0], encoding="utf-8")
    processes.write_config(blocks("ini")[0])
    processes.env["BROKER_URL"] = "database://"
    web = processes.start_web()
    processes.start_worker()
    return web.url


def shell(lines: str) -> str:
    """Return the output of these lines in bash."""
    return subprocess.run(["bash", "-c", lines], capture_output=True, encoding="utf-8", check=True, timeout=60).stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_console_commands_print_what_the_page_shows(url: str, page: Path) -> None:
    uuid = ""
    for block in blocks("console", page.read_text(encoding="utf-8")):
        for command, shown in session(block.replace("http://127.0.0.1:8050", url)):
            if command.startswith("UUID="):
                uuid = shell(f"{command}\necho $UUID").strip()
                eventually(lambda uuid=uuid: '"SUCCESS"' in shell(f"curl -s {url}/status/{uuid}"))
            else:
                assert masked(shell(f"UUID={uuid}\n{command}")) == masked(shown)


def test_links_to_files_lead_to_files() -> None:
    for page in (*PAGES, CONTRIBUTING, ROOT / "docs" / "tasks.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_settings_that_it_shows_are_valid() -> None:
    from pacifica.dispatcher.config.celery_settings import CelerySettings
    from pacifica.dispatcher.config.parser import parse

    for block in blocks("ini"):
        assert parse(block, {}, celery=CelerySettings).database.peewee_url


def test_make_targets_on_the_pages_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pages = README + CONTRIBUTING.read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", pages, re.MULTILINE):
        assert f"\n{''.join(target)}:" in makefile


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_python_examples_of_the_api_pages_run(page: Path) -> None:
    for block in blocks("python", page.read_text(encoding="utf-8")):
        done = subprocess.run([sys.executable, "-c", f"{block}\nassert scan(3) == 3"], check=False, timeout=60)
        assert done.returncode == 0
