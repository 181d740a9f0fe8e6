"""``make check``, the pre-commit hooks and the Windows CI run the same tools with the same arguments."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.slow
def test_uv_is_installed_from_the_lock_by_its_hashes() -> None:
    found = re.search(r"^UV_OF_LOCK := (.*)$", MAKEFILE, re.MULTILINE)
    assert found is not None
    command = found[1].replace("$$", "$")
    shown = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout
    assert re.fullmatch(r"uv==[\d.]+ \\\n( +--hash=sha256:[0-9a-f]{64} \\\n)+ +--hash=sha256:[0-9a-f]{64}\n", shown)


def test_uv_trusts_the_certificates_of_the_system_as_pip_does() -> None:
    """Where a proxy opens TLS connections, uv alone would fail, and pip would install everything in a minute."""
    assert re.search(r"^UV := .* --system-certs ", MAKEFILE, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_port_of_make_run_is_an_option() -> None:
    for given, expected in ((["PORT=8060", "UP=--reload"], " up --port 8060 --reload"), ([], " up")):
        outer = ("PORT", "UP", "MAKE", "MFLAGS")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
        command = ["make", "--dry-run", "run", *given]
        ran = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, encoding="utf-8", check=True)
        assert ran.stdout.rstrip().endswith(f"pacifica-dispatcher-cmd{expected}")


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
