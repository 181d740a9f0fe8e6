"""The exit codes of the commands, and the errors and faults that lead to them."""

from enum import IntEnum

import click

from ..core.control_characters import lines, one_line
from ..core.errors import DispatcherError, MigrationFailed, SchemaMismatch, Unavailable


class Exit(IntEnum):
    """The exit codes, which are part of the commands' contract."""

    SUCCESS = 0
    FAILED = 1
    REFUSED = 2
    UNREACHABLE = 3
    TIMED_OUT = 4
    INTERRUPTED = 130
    BROKEN_PIPE = 141


EPILOGUE = """\
\b
Exit codes:
    0  success
    1  the job or a part of the service failed
    2  wrong usage, or refused by the server (such as an unknown task or id)
    3  the server or the database cannot be reached
    4  timed out
  130  Ctrl-C
"""


class CommandEnded(click.ClickException):
    """The command ends with a message, which shows control characters as escapes."""

    def __init__(self, message: str) -> None:
        super().__init__(lines(message))


class CommandFailed(CommandEnded):
    """The job or the checked part of the service failed; the message is a sentence for a person."""

    exit_code = Exit.FAILED


class CommandRefused(CommandEnded):
    """The request is not valid or not allowed."""

    exit_code = Exit.REFUSED


class ServerUnreachable(CommandEnded):
    """The server or the database cannot be reached."""

    exit_code = Exit.UNREACHABLE


class CommandTimedOut(CommandEnded):
    """The given time is over."""

    exit_code = Exit.TIMED_OUT


_EXCEPTIONS: tuple[tuple[type[DispatcherError], type[CommandEnded]], ...] = (
    (SchemaMismatch, CommandFailed),
    (MigrationFailed, CommandFailed),
    (Unavailable, ServerUnreachable),
    (DispatcherError, CommandRefused),
)
"""The first class of which an error is an instance decides."""


def click_exception(error: DispatcherError) -> CommandEnded:
    """The exception of click that ends a command after this error."""
    return next(exception for kind, exception in _EXCEPTIONS if isinstance(error, kind))(str(error))


_GRAVEST_FIRST = (Exit.REFUSED, Exit.TIMED_OUT, Exit.FAILED)


class Faults:
    """The faults of a command that continues after a fault; the gravest decides the exit code."""

    def __init__(self) -> None:
        self._codes: set[Exit] = set()

    def show(self, code: Exit, message: str) -> None:
        """Print a fault as click prints an error, without ending the command."""
        click.echo(f"Error: {one_line(message)}", err=True)
        self._codes.add(code)

    def end(self) -> None:
        """End the command if there were any faults."""
        for code in _GRAVEST_FIRST:
            if code in self._codes:
                click.get_current_context().exit(code)
