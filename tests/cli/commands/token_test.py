"""``token``: its output for people and for programs, and its refusals."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from pacifica.dispatcher.cli import main

from ..conftest import Run


def test_token_is_created_listed_and_revoked(run: Run) -> None:
    assert run("dbsync").returncode == 0
    empty = run("token", "list")
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "There are no tokens.\n")

    created = run("token", "create", "--name", "lab", "--scope", "read", "--scope", "dispatch:lab.*", "--own")
    assert re.fullmatch(r"pd_\S{43}\n", created.stdout)
    assert run("token", "create", "--name", "guest", "--scope", "read", "--expires", "30d").returncode == 0

    header, first, second = run("token", "list").stdout.splitlines()
    assert header.split() == ["ID", "NAME", "SCOPES", "JOBS", "CREATED", "EXPIRES"]
    assert re.fullmatch(r"\S{36}  lab +read dispatch:lab\.\*  its own  \S+Z  never", first.rstrip())
    assert re.fullmatch(r"\S{36}  guest  read +all +\S+Z  \S+Z", second.rstrip())
    listed = json.loads(run("token", "list", "--json").stdout)
    assert [(each["name"], each["scopes"], each["own"]) for each in listed] == [
        ("lab", ["read", "dispatch:lab.*"], True),
        ("guest", ["read"], False),
    ]
    assert listed[0]["expires"] is None

    assert run("token", "revoke", "lab").stdout == "Revoked 1.\n"
    again = run("token", "revoke", "lab")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "Error: There is no token with the id or name lab.\n"


def test_invalid_scope_is_refused(run: Run) -> None:
    run("dbsync")
    ran = run("token", "create", "--name", "lab", "--scope", "rule")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("Error: No token was created: ")


def test_no_command_creates_a_database_in_a_wrong_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = ("dbchk", "dbsync --dry-run", "purge --older-than 1d", "purge --older-than 1d --dry-run", "token list")
    for command in (*commands, "token create --name lab --scope read", "token revoke lab"):
        ran = CliRunner().invoke(main, command.split(), env={"HOME": str(tmp_path), "PEEWEE_URL": None})
        assert (ran.exit_code, ran.stdout) == (3, ""), command
        assert f"There is no SQLite file {tmp_path}/db.sqlite3; relative paths start at" in ran.stderr
    assert list(tmp_path.iterdir()) == []
