"""What the commands share that go by the configuration, and straight to the database.

The errors of both leave a command as they are; the group makes an exit code of them (``exits.py``).
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from ..config_options import Settings
from ..settings import load_settings
from ..store.database import Database

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The INI file; without it, the one that the server would read from here.",
)
"""The option of every command that reads the configuration; the command's parameter is ``config: Path | None``."""


@contextmanager
def configured_database(settings: Settings, answer_timeout: float | None = None) -> Iterator[Database]:
    """The database that the configuration names; it is neither connected nor changed before it is used."""
    own = settings.database
    patience = own.answer_timeout if answer_timeout is None else answer_timeout
    with closing(Database(own.peewee_url, own.busy_timeout, patience)) as database:
        yield database


@contextmanager
def prepared_database(config: Path | None) -> Iterator[Database]:
    """The same, reached, and with the tables that it lacks; raises what both raise."""
    with configured_database(load_settings(config)) as database:
        database.wait_until_up(1, 0)
        yield database
