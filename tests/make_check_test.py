"""``make check``, the pre-commit hooks and the Windows CI run the same tools with the same arguments."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def documents() -> str:
    """The document tests of ``make check``, as paths."""
    found = re.search(r"^DOCUMENT_TESTS := \$\(patsubst %,(\S+),([^)]+)\)$", MAKEFILE, re.MULTILINE)
    assert found is not None
    return " ".join(found[1].replace("%", name) for name in found[2].split())


def checks() -> list[str]:
    """The commands of ``make check``, without the folder of the programs."""
    found = re.search(r"^check: .*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert found is not None
    recipe = found[1].replace("$(BIN)/", "").replace("$(DOCUMENT_TESTS)", documents())
    return [line.strip() for line in recipe.splitlines()]


def test_pre_commit_hooks_run_the_commands_of_make_check() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^ +entry: \.venv/bin/(.+)$", hooks, re.MULTILINE) == checks()


def test_windows_ci_runs_the_tools_of_make_check() -> None:
    script = (ROOT / "appveyor.yml").read_text(encoding="utf-8").partition("test_script:")[2]
    tools = [check for check in checks() if "pytest" not in check]
    assert re.findall(r"^  - ((?:ruff|mypy|lint-imports).*)$", script, re.MULTILINE) == tools
