"""How a command ends: its exit code, and which error is which of them."""

from enum import IntEnum

import click

from ..core.errors import DispatcherError, MigrationFailed, SchemaMismatch, Unavailable


class Exit(IntEnum):
    """What a program that runs a command learns from it; part of the commands' contract."""

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
    1  the job failed, or a part of the service
    2  wrong usage, or refused by the server (such as an unknown task or id)
    3  the server or the database cannot be reached
    4  timed out
  130  Ctrl-C
"""


class Failed(click.ClickException):
    """The job failed, or what the command looked after did; the message is a sentence for a person."""

    exit_code = Exit.FAILED


class Refused(click.ClickException):
    """It was asked for in a way that cannot be done."""

    exit_code = Exit.REFUSED


class Unreachable(click.ClickException):
    """Nobody is there."""

    exit_code = Exit.UNREACHABLE


class TimedOut(click.ClickException):
    """It took longer than the command may."""

    exit_code = Exit.TIMED_OUT


_ENDINGS: tuple[tuple[type[DispatcherError], type[click.ClickException]], ...] = (
    (SchemaMismatch, Failed),
    (MigrationFailed, Failed),
    (Unavailable, Unreachable),
    (DispatcherError, Refused),
)
"""The first class that an error is an instance of decides."""


def ending_of(error: DispatcherError) -> click.ClickException:
    """How a command ends that meets this error."""
    return next(ending for kind, ending in _ENDINGS if isinstance(error, kind))(str(error))
