"""What the commands share that go by the configuration, and straight to the database.

The errors of both leave a command as they are; the group makes an exit code of them (``exits.py``).
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from ..config import Settings
from ..settings import load_settings
from ..store.database import Database

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The INI file; else $DISPATCHER_CONFIG, ./config.ini or ~/.pacifica-dispatcher/config.ini.",
)
"""The option of every command that reads the configuration; the command's parameter is ``config: Path | None``."""


@contextmanager
def configured_database(settings: Settings) -> Iterator[Database]:
    """The database that the configuration names; it is neither connected nor changed before it is used."""
    own = settings.database
    with closing(Database(own.peewee_url, own.busy_timeout, own.answer_timeout)) as database:
        yield database


@contextmanager
def prepared_database(config: Path | None) -> Iterator[Database]:
    """The same, reached, and with the tables that it lacks; raises ``ConfigError`` and ``DatabaseUnavailable``."""
    with configured_database(load_settings(config)) as database:
        database.wait_until_up(1, 0)
        yield database
