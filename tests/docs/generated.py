"""The pages of ``docs/`` that are made from the code: ``make docs`` writes them, a test holds them current."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from pacifica.dispatcher.__main__ import OPTIONS as SERVER_OPTIONS
from pacifica.dispatcher.app import DEFAULTS
from pacifica.dispatcher.cli import COMMANDS, main
from pacifica.dispatcher.config.celery_settings import OWNED
from pacifica.dispatcher.config.settings import ENVIRONMENT, OPTIONS, SECTIONS

DOCS = Path(__file__).parent.parent.parent / "docs"
PROGRAM = "pacifica-dispatcher-cmd"
WIDTH = 100
CELERY = "https://docs.celeryq.dev/en/stable/userguide/configuration.html"
NOTE = "<!-- Made by `make docs` from the code; a change made here is lost. -->"
PURPOSE: Mapping[str, str] = {
    "database": "Where the record is kept.",
    "celery": "The broker, and any Celery setting by its own lower-case name.",
    "dispatcher": "What the service itself does.",
    "auth": "Who may ask for what: [api/security.md](api/security.md).",
    "retention": "How long jobs are kept: [retention.md](retention.md).",
}
VARIABLES: Mapping[str, str] = {
    **{variable: f"replaces `[{name.section}] {name.key}`" for variable, name in ENVIRONMENT.items()},
    "DISPATCHER_CONFIG": "the configuration file, where `-c` names none",
    "DISPATCHER_CPCONFIG": "the CherryPy file, where `--cp-config` names none",
    "DISPATCHER_URL": f"the service that `{PROGRAM}` talks to, where `--url` names none",
    "DISPATCHER_TOKEN": "the bearer token that it sends, where `--token` gives none",
}
"""What this project reads of the environment; a test looks for others in the code."""


COMMANDS_HEAD = f"""{NOTE}
# Commands

What `{PROGRAM}` prints with `--help`, alone and behind each command. The options of
`python -m pacifica.dispatcher` are in [settings.md](settings.md#the-command-line-of-the-server).
"""
SETTINGS_HEAD = f"""{NOTE}
# Settings

The later of these wins: default, configuration file, environment, command line. `{PROGRAM} config show`
tells what is in effect and where it comes from, `config check` what is wrong with it, and `config show --defaults`
prints a file to begin with.

The file is the first of: `-c`, `DISPATCHER_CONFIG`, `./config.ini`, `~/.pacifica-dispatcher/config.ini`. In it `%`,
`#` and `;` are literal within a value.
"""


def commands_page() -> str:
    """The help of every command, as a terminal shows it."""
    context = _context(main, PROGRAM, None)
    parts = [COMMANDS_HEAD, _shown(context)]
    for section, entries in COMMANDS.items():
        if entries:
            parts.append(f"## {section}\n")
        for name in entries:
            parts += _command(context, name, "###")
    return "\n".join(parts)


def settings_page() -> str:
    """Every setting, variable and option of the server."""
    parts = [SETTINGS_HEAD]
    for section in SECTIONS:
        parts += [f"## [{section}]\n", *([f"{PURPOSE[section]}\n"] if section in PURPOSE else [])]
        rows = [
            (f"`{one.key}`", one.why, one.kind.allowed, f"`{one.default}`" if one.default else "empty")
            for one in OPTIONS
            if one.section == section
        ]
        parts.append(_table(("setting", "what it is", "must be", "default"), rows))
        if section == "celery":
            parts += _celery()
    parts += ["## The environment\n", "A variable that is empty counts as not set.\n"]
    parts.append(_table(("variable", "what it does"), [(f"`{name}`", what) for name, what in VARIABLES.items()]))
    parts += ["## The command line of the server\n", "`python -m pacifica.dispatcher`, or `pacifica-dispatcher`:\n"]
    options = [(" ".join(f"`{name}`" for name in names), str(more["help"])) for names, more in SERVER_OPTIONS]
    parts.append(_table(("option", "what it does"), options))
    return "\n".join(parts)


PAGES = {"commands.md": commands_page, "settings.md": settings_page}


def _command(parent: click.Context, name: str, heading: str) -> Iterator[str]:
    """A command's help, and behind it that of the commands that it has itself."""
    group = parent.command
    assert isinstance(group, click.Group)
    command = group.get_command(parent, name)
    assert command is not None
    context = _context(command, name, parent)
    yield f"{heading} {context.command_path.removeprefix(PROGRAM).strip()}\n"
    yield _shown(context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            yield from _command(context, each, f"{heading}#")


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return command.make_context(name, [], parent=parent, resilient_parsing=True, terminal_width=WIDTH)


def _shown(context: click.Context) -> str:
    lines = [line.rstrip() for line in context.get_help().splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def _celery() -> Iterable[str]:
    defaults = [(f"`{name}`", f"`{value}`") for name, value in sorted(DEFAULTS.items())]
    yield f"Where this project's default is not [Celery's]({CELERY}):\n"
    yield _table(("setting", "default"), defaults)
    yield "These cannot be set, nor what belongs to Celery's own result backends:\n"
    yield _table(("setting", "why"), [(f"`{name}`", why) for name, why in sorted(OWNED.items())])


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [columns, ["---"] * len(columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    for file, page in PAGES.items():
        (DOCS / file).write_text(page(), encoding="utf-8")
