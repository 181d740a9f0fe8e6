"""The command group: help, completion, lazy imports and exit codes."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pacifica.dispatcher.cli import COMMANDS

from ..processes import Processes
from .conftest import CODE, Run

PROGRAMS = Path(__file__).parent / "programs"
PROGRAM = Path(sys.executable).with_name("pacifica-dispatcher-cmd")


@pytest.mark.parametrize(("name", "text"), [pair for section in COMMANDS.values() for pair in section.items()])
def test_list_of_commands_repeats_the_help_of_each_command(name: str, text: str) -> None:
    command: click.Command = getattr(importlib.import_module(f"pacifica.dispatcher.cli.commands.{name}"), name)
    assert command.name == name
    assert text == command.get_short_help_str(200)
    assert len(text) <= 64, "the line does not fit into the list"


def test_help_lists_sections_of_commands_and_exit_codes(run: Run) -> None:
    ran = run("--help")
    assert ran.returncode == 0
    assert "\nService:\n  up " in ran.stdout
    assert "\nOperating:\n" in ran.stdout
    assert "  130  Ctrl-C\n" in ran.stdout


def test_help_imports_no_command(processes: Processes) -> None:
    modules = set(processes.run(str(PROGRAMS / "modules_of_help.py")).stdout.splitlines()[-1].split())
    assert not modules & {"celery", "kombu", "peewee", "cherrypy", "rich", "requests", "pydantic"}
    assert {name for name in modules if name.startswith("pacifica.dispatcher.")} == {
        "pacifica.dispatcher.cli",
        "pacifica.dispatcher.cli.exit_codes",
        "pacifica.dispatcher.cli.lazy_group",
        "pacifica.dispatcher.core",
        "pacifica.dispatcher.core.control_characters",
        "pacifica.dispatcher.core.errors",
        "pacifica.dispatcher.core.faults",
        "pacifica.dispatcher.core.picklable_error",
    }


def test_mistyped_command_gets_a_suggestion(run: Run) -> None:
    ran = run("tokn", "list")
    assert ran.returncode == 2
    assert "No such command 'tokn'. Did you mean token?" in ran.stderr


def test_configuration_fault_ends_a_command_with_2(processes: Processes, run: Run) -> None:
    processes.write_config("[dispatcher]\nmax_attempts = many\n")
    ran = run("token", "list")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Error: [dispatcher] max_attempts = many" in ran.stderr


def test_unreachable_database_ends_a_command_with_3(run: Run) -> None:
    ran = run("token", "list", env={"PEEWEE_URL": "postgresql://guest@127.0.0.1:1/none"})
    assert (ran.returncode, ran.stdout) == (3, "")
    assert "Error: The database cannot do that now" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_ctrl_c_ends_a_command_with_130(processes: Processes) -> None:
    # The command reads its configuration from a pipe without a writer.
    os.mkfifo(processes.cwd / "held.ini")
    command = processes.start("command", ["-X", "importtime", "-c", CODE, "token", "-c", "held.ini", "list"])
    command.wait_until_it_says(r"pacifica\.dispatcher\.cli\.database_options")
    command.send(signal.SIGINT)
    assert command.wait() == 130
    assert "Traceback" not in command.output()


@pytest.mark.slow
def test_closed_pipe_ends_a_command_silently() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", CODE, "completion", "fish"]
    ran = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, "")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_full_disk_ends_a_command_with_1() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        command = [sys.executable, "-c", CODE, "completion", "fish"]
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    assert (ran.returncode, ran.stderr) == (1, "Error: The output cannot be written: No space left on device.\n")


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM.exists(), reason="the program is not installed")
def test_bash_completes_commands_and_options() -> None:
    script = (PROGRAMS / "complete.sh").read_text(encoding="utf-8")
    ran = subprocess.run(["bash", "-c", script, str(PROGRAM)], capture_output=True, encoding="utf-8", check=False)
    assert ran.stderr == ""
    assert ran.stdout.splitlines()[1:] == ["token", "revoke", "--workers"]


def test_completion_prints_the_script_of_each_shell(run: Run) -> None:
    assert "#compdef pacifica-dispatcher-cmd" in run("completion", "zsh").stdout
    assert "complete --no-files --command pacifica-dispatcher-cmd" in run("completion", "fish").stdout
    assert run("completion", "csh").returncode == 2
