"""The files that are generated from the code. ``make docs`` writes them; a test checks that they are up to date."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from pacifica.dispatcher.__main__ import OPTIONS as SERVER_OPTIONS
from pacifica.dispatcher.app import DEFAULTS
from pacifica.dispatcher.cli import COMMANDS, main
from pacifica.dispatcher.config.celery_settings import OWNED
from pacifica.dispatcher.config.settings import ENVIRONMENT, SECTIONS, SETTINGS, example_ini

ROOT = Path(__file__).parent.parent.parent
PROGRAM = "pacifica-dispatcher-cmd"
WIDTH = 100
CELERY = "https://docs.celeryq.dev/en/stable/userguide/configuration.html"
NOTE = "<!-- `make docs` generates this page from the code. Do not edit it. -->"
PURPOSE: Mapping[str, str] = {
    "database": "The database that keeps the jobs.",
    "celery": "The broker, and any Celery setting by its own lower-case name.",
    "dispatcher": "The service itself.",
    "server": "The web server of `python -m pacifica.dispatcher` and `up`.",
    "auth": "The clients that may use the service: see [api/security.md](api/security.md).",
    "dashboard": "The pages for people: see [dashboard.md](dashboard.md).",
    "logging": "The log lines: see [logging.md](logging.md).",
    "retention": "How long jobs are kept: see [retention.md](retention.md).",
}
VARIABLES: Mapping[str, str] = {
    **{variable: f"replaces `[{name.section}] {name.key}`" for variable, name in ENVIRONMENT.items()},
    "DISPATCHER_CONFIG": "the configuration file, if `-c` is not given",
    "DISPATCHER_CPCONFIG": "the CherryPy file, if `--cp-config` is not given",
    "DISPATCHER_URL": f"the URL of the service for `{PROGRAM}`, if `--url` is not given",
    "DISPATCHER_TOKEN": "the bearer token that it sends, if `--token` is not given",
}
"""The environment variables that this project reads; a test searches the code for others."""


COMMANDS_HEAD = f"""{NOTE}
# Commands

The output of `{PROGRAM} --help` and of `--help` for each command. The options of
`python -m pacifica.dispatcher` are in [settings.md](settings.md#the-command-line-of-the-server).
"""
SETTINGS_HEAD = f"""{NOTE}
# Settings

A setting has a default. The configuration file overrides the default, and the environment overrides the file. Options
of a command, such as `up --broker` or Celery's `--concurrency`, override both.

`{PROGRAM} config show` lists every setting with its value and source, `config check` lists all faults, and
`config show --defaults` prints a file to start from.

The configuration file is the first of these: `-c`, `DISPATCHER_CONFIG`, `./config.ini`,
`~/.pacifica-dispatcher/config.ini`. Inside a value, `%`, `#` and `;` are literal.
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
    """Every setting, environment variable and option of the server."""
    parts = [SETTINGS_HEAD]
    for section, model in SECTIONS.items():
        parts += [f"## [{section}]\n", f"{PURPOSE[section]}\n"]
        rows = [
            (f"`{one.key}`", one.description, model.allowed(one.key), f"`{one.default}`" if one.default else "empty")
            for one in SETTINGS
            if one.section == section
        ]
        parts.append(_table(("setting", "description", "allowed", "default"), rows))
        if section == "celery":
            parts += _celery()
    parts += ["## The environment\n", "A variable that is empty counts as not set.\n"]
    parts.append(_table(("variable", "effect"), [(f"`{name}`", effect) for name, effect in VARIABLES.items()]))
    parts += ["## The command line of the server\n", "`python -m pacifica.dispatcher`, or `pacifica-dispatcher`:\n"]
    options = [(" ".join(f"`{name}`" for name in names), str(more["help"])) for names, more in SERVER_OPTIONS]
    parts.append(_table(("option", "effect"), options))
    return "\n".join(parts)


PAGES = {"docs/commands.md": commands_page, "docs/settings.md": settings_page, "config.ini": example_ini}


def _command(parent: click.Context, name: str, heading: str) -> Iterator[str]:
    """The help of a command, followed by that of its subcommands."""
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
    yield f"These defaults differ from [Celery's]({CELERY}):\n"
    yield _table(("setting", "default"), defaults)
    yield "These settings cannot be changed, and neither can those of Celery's own result backends:\n"
    yield _table(("setting", "reason"), [(f"`{name}`", why) for name, why in sorted(OWNED.items())])


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [columns, ["---"] * len(columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    for file, page in PAGES.items():
        (ROOT / file).write_text(page(), encoding="utf-8")
