"""What all commands have in common: how they are found, listed, completed, and how they end."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pacifica.dispatcher.cli import COMMANDS
from pacifica.dispatcher.cli.lazy_group import Entry

from ..processes import Processes
from .conftest import CODE, Run

PROGRAM = Path(sys.executable).with_name("pacifica-dispatcher-cmd")


def command_of(entry: Entry) -> click.Command:
    """The command itself."""
    module, _, attribute = entry.where.partition(":")
    command: click.Command = getattr(importlib.import_module(module, "pacifica.dispatcher.cli.commands"), attribute)
    return command


@pytest.mark.parametrize(("name", "entry"), [pair for section in COMMANDS.values() for pair in section.items()])
def test_the_list_says_of_a_command_what_it_says_itself(name: str, entry: Entry) -> None:
    command = command_of(entry)
    assert command.name == name
    assert entry.help == command.get_short_help_str(200)
    assert len(entry.help) <= 64, "it takes a second line of the list"


def test_help_lists_the_commands_in_sections_and_the_exit_codes(run: Run) -> None:
    told = run("--help")
    assert told.returncode == 0
    assert "\nService:\n  up " in told.stdout
    assert "\nOperating:\n" in told.stdout
    assert "  130  Ctrl-C\n" in told.stdout


def test_help_imports_no_command(processes: Processes) -> None:
    code = "import sys; from pacifica.dispatcher.cli import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    modules = set(processes.run("-c", code).stdout.splitlines()[-1].split())
    assert not modules & {"celery", "kombu", "peewee", "cherrypy", "rich", "requests", "pydantic"}
    assert {name for name in modules if name.startswith("pacifica.dispatcher.")} == {
        "pacifica.dispatcher.cli",
        "pacifica.dispatcher.cli.exit_codes",
        "pacifica.dispatcher.cli.lazy_group",
        "pacifica.dispatcher.core",
        "pacifica.dispatcher.core.errors",
    }


def test_a_mistyped_command_is_told_the_near_one(run: Run) -> None:
    told = run("tokn", "list")
    assert told.returncode == 2
    assert "There is no command 'tokn'. Did you mean token?" in told.stderr


def test_a_fault_of_the_configuration_ends_a_command_with_2(processes: Processes, run: Run) -> None:
    processes.write_config("[dispatcher]\nmax_attempts = many\n")
    told = run("token", "list")
    assert (told.returncode, told.stdout) == (2, "")
    assert "Error: [dispatcher] max_attempts = many" in told.stderr


def test_a_database_that_is_away_ends_a_command_with_3(run: Run) -> None:
    told = run("token", "list", env={"PEEWEE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    assert (told.returncode, told.stdout) == (3, "")
    assert "Error: The database cannot do that now" in told.stderr
    assert "Traceback" not in told.stderr


def test_ctrl_c_ends_a_command_with_130(processes: Processes) -> None:
    # The command reads its configuration from a pipe that nobody writes to.
    held = "import os; os.mkfifo('held.ini')"
    processes.run("-c", held)
    command = processes.start("command", ["-X", "importtime", "-c", CODE, "token", "-c", "held.ini", "list"])
    command.wait_until_it_says(r"pacifica\.dispatcher\.cli\.database_options")
    command.send(signal.SIGINT)
    assert command.wait() == 130
    assert "Traceback" not in command.output()


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_a_command_in_silence() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", CODE, "completion", "fish"]
    told = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    os.close(writer)
    assert (told.returncode, told.stderr) == (141, "")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_disk_that_is_full_ends_a_command_with_1() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        command = [sys.executable, "-c", CODE, "completion", "fish"]
        told = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    assert (told.returncode, told.stderr) == (1, "Error: The output cannot be written: No space left on device.\n")


COMPLETE = r"""
source <("$0" completion bash)
complete -p pacifica-dispatcher-cmd
completed() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _pacifica_dispatcher_cmd_completion "$0"
    echo "${COMPREPLY[@]}"
}
completed pacifica-dispatcher-cmd to
completed pacifica-dispatcher-cmd token re
completed pacifica-dispatcher-cmd up --wo
"""


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM.exists(), reason="the program is not installed")
def test_bash_completes_commands_and_options() -> None:
    told = subprocess.run(["bash", "-c", COMPLETE, str(PROGRAM)], capture_output=True, encoding="utf-8", check=False)
    assert told.stderr == ""
    assert told.stdout.splitlines()[1:] == ["token", "revoke", "--workers"]


def test_each_shell_gets_its_script(run: Run) -> None:
    assert "#compdef pacifica-dispatcher-cmd" in run("completion", "zsh").stdout
    assert "complete --no-files --command pacifica-dispatcher-cmd" in run("completion", "fish").stdout
    assert run("completion", "csh").returncode == 2
