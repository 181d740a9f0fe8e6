"""What a database says of itself."""

import re

import peewee

from ...core.errors import DatabaseUnavailable
from ..database import Database


def product(database: Database) -> str:
    """Its name and version; raises ``DatabaseUnavailable``, also for a file that is no database."""
    if database.sqlite:
        name, statement = "SQLite", "SELECT sqlite_version(), (SELECT count(*) FROM sqlite_master)"
    elif database.mysql:
        name, statement = "MySQL", "SELECT version()"
    else:
        name, statement = "PostgreSQL", "SHOW server_version"
    try:
        version = str(database.read(lambda db: db.execute_sql(statement).fetchone()[0]))
    except peewee.DatabaseError as error:
        raise DatabaseUnavailable("The database cannot be used (it is no database of the kind).") from error
    number = re.match(r"[\d.]*", version)
    return f"{'MariaDB' if 'MariaDB' in version else name} {number[0] if number else version}"
