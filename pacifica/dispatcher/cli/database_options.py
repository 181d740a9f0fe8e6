"""What the commands share that go by the configuration, and straight to the database.

The errors of both leave a command as they are; the group makes an exit code of them (``exits.py``).
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from ..config.load import load_settings
from ..config.settings import Settings
from ..store.connections.connect import sqlite_file
from ..store.database import Database
from .exit_codes import Unreachable

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The INI file; without it, the one that the server would read from here.",
)
"""The option of every command that reads the configuration; the command's parameter is ``config: Path | None``."""


@contextmanager
def configured_database(
    settings: Settings, answer_timeout: float | None = None, *, make: bool = False
) -> Iterator[Database]:
    """The database that the configuration names; it is neither connected nor changed before it is used.

    Unless told to ``make`` it, an SQLite file that is not there is refused: it would be an empty one that no
    service knows, in a folder that is not the service's.
    """
    own = settings.database
    file = sqlite_file(own.peewee_url)
    if file is not None and not make and not file.exists():
        raise Unreachable(
            f"There is no SQLite file {file}; relative paths count from the working directory. Go to the folder of "
            "the service, or start the service here, or run: pacifica-dispatcher-cmd dbsync."
        )
    patience = own.answer_timeout if answer_timeout is None else answer_timeout
    with closing(Database(own.peewee_url, own.busy_timeout, patience)) as database:
        yield database


@contextmanager
def prepared_database(config: Path | None) -> Iterator[Database]:
    """The same, reached, and with the tables that it lacks; raises what both raise."""
    with configured_database(load_settings(config)) as database:
        database.wait_until_up(1, 0)
        yield database
