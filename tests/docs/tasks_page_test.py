"""docs/tasks.md is a test: its Python blocks are one module, and its console lines print what the page shows."""

import ast
from collections.abc import Iterator

import pytest

from ..processes import Processes
from .readme_test import ROOT, blocks, masked, session, shell

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
ELSEWHERE = "# In the other project"
CONFIG = "[dispatcher]\ntasks = lab\n[celery]\nbroker_url = database://\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """The service with the tasks of the page."""
    with Processes(tmp_path_factory.mktemp("page")) as processes:
        parts = [block for block in blocks("python", PAGE) if not block.startswith(ELSEWHERE)]
        (processes.cwd / "lab.py").write_text("\n\n".join(parts), encoding="utf-8")
        processes.write_config(CONFIG)
        processes.start_web()
        processes.start_worker()
        yield processes


def test_console_commands_print_what_the_page_shows(service: Processes) -> None:
    url = service.running[0].url
    uuid, wrong = "", []
    for block in blocks("console", PAGE):
        for command, shown in session(block.replace("http://127.0.0.1:8050", url)):
            if command.startswith("UUID="):
                uuid = shell(f"{command}\necho $UUID").strip()
                continue
            printed = shell(f"UUID={uuid}\n{command}")
            if masked(printed) != masked(shown):
                wrong.append(f"$ {command}\n{printed}")
    assert "\n".join(wrong) == ""


def test_examples_of_other_projects_can_be_read_by_python() -> None:
    others = [block for block in blocks("python", PAGE) if block.startswith(ELSEWHERE)]
    assert [ast.parse(block).body != [] for block in others] == [True]


def test_every_task_of_the_page_can_be_dispatched(service: Processes) -> None:
    assert "cannot be dispatched" not in service.running[0].output()
