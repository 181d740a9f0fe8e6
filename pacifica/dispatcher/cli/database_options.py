"""Shared by the commands that read the configuration and open the database themselves.

Errors are raised unchanged; the command group turns them into exit codes.
"""

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from ..config.load import load_settings
from ..config.settings import Settings
from ..core.errors import DatabaseUnavailable
from ..store.connections.connect import sqlite_file
from ..store.database import Database
from .exit_codes import ServerUnreachable

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The INI file; by default the one that a server started here would read.",
)
"""The option of every command that reads the configuration; the command's parameter is ``config: Path | None``."""


@contextmanager
def configured_database(
    settings: Settings, answer_timeout: float | None = None, *, make: bool = False
) -> Iterator[Database]:
    """The database of the configuration; it is neither connected nor changed before its first use.

    Without ``make``, a missing SQLite file raises ``ServerUnreachable``; SQLite would create an empty file in what is
    probably the wrong directory.
    """
    section = settings.database
    file = sqlite_file(section.peewee_url)
    if file is not None and not make and not file.exists():
        raise ServerUnreachable(
            f"There is no SQLite file {file}; relative paths start at the working directory. Change to the directory "
            "of the service, start the service here, or run: pacifica-dispatcher-cmd dbsync."
        )
    timeout = section.answer_timeout if answer_timeout is None else answer_timeout
    with closing(Database(section.peewee_url, section.busy_timeout, timeout)) as database:
        yield database


@contextmanager
def schema_database(config: Path | None, *, make: bool = False) -> Iterator[Database]:
    """The database of the configuration, without a limit on the time that a statement may take.

    The error of an unavailable database includes the reason that the database gave: a person who may change its
    schema may read it.
    """
    try:
        with configured_database(load_settings(config), answer_timeout=math.inf, make=make) as database:
            yield database
    except DatabaseUnavailable as error:
        reason = f"\n{str(error.__cause__).strip()}" if error.__cause__ else ""
        raise ServerUnreachable(f"{error}{reason}") from error
