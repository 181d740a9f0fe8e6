"""A click group that imports a command when it is run, and turns its errors into exit codes.

Source: https://click.palletsprojects.com/en/stable/complex/#lazily-loading-subcommands
"""
# ruff: noqa: ARG002 - these signatures are click's

import errno
import importlib
import os
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import click
from click.shell_completion import CompletionItem

from ..core.errors import DispatcherError
from .exit_codes import CommandFailed, Exit, click_exception

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The errors of a full disk or a full quota, which standard output may meet in a file."""


class LazyGroup(click.Group):
    """Commands by section and name. Listing them imports no command; running one imports it alone."""

    def __init__(self, *args: Any, table: Mapping[str, Mapping[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = table
        self._help = {name: text for section in table.values() for name, text in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table."""
        return list(self._help)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The imported command; ``None`` if the table has no such name."""
        if cmd_name not in self._help:
            return None
        module = importlib.import_module(f".commands.{cmd_name}", __package__)
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve the command as click does; the error for an unknown name suggests similar names."""
        name = args[0]
        if name not in self._help and not name.startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(name, self._help, 3)
            hint = f"Did you mean {' or '.join(near)}?" if near else "Use --help to list the commands."
            ctx.fail(f"No such command {name!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, section by section."""
        widest = max(map(len, self._help))
        for section, commands in self._sections.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(widest), text) for name, text in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The command names that begin with ``incomplete``, and the options."""
        names = [CompletionItem(name, help=text) for name, text in self._help.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a ``DispatcherError``, Ctrl-C, a closed pipe and a full disk end it by their exit codes."""
        try:
            return super().invoke(ctx)
        except DispatcherError as error:
            raise click_exception(error) from error
        except KeyboardInterrupt:
            click.echo(err=True)
            ctx.exit(Exit.INTERRUPTED)
        except BrokenPipeError:
            _drop_output()
            ctx.exit(Exit.BROKEN_PIPE)
        except OSError as error:
            if error.errno not in NO_ROOM or error.filename is not None:
                raise
            _drop_output()
            raise CommandFailed(f"The output cannot be written: {error.strerror}.") from error


def _drop_output() -> None:
    """Python flushes standard output once more at its exit, which must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
