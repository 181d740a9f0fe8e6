"""A busy handler for SQLite: how to wait while another process writes.

A transaction of ours takes a tenth of a millisecond, and SQLite's own handler sleeps a whole one at least, then 2, 5
and 10: two workers with short jobs would sleep through much of their time. Python has no way to give SQLite another
handler, so a statement that finds the file busy is run again from here.

Source: https://www.sqlite.org/c3ref/busy_handler.html
"""

import sqlite3
import time
from typing import Any, Self

FIRST = 0.000_05
"""Seconds of the first pause; Linux makes about twice as much of it."""
SHARE = 0.25
"""A later pause, as a share of what was waited until then: few looks, however long it takes."""
LONGEST = 0.025
"""Seconds of the longest pause."""


class PatientConnection(sqlite3.Connection):
    """A connection to an SQLite file that others write to.

    A statement of one of its cursors waits for them ``patience`` seconds; not its own ``execute``, which makes no such
    cursor.
    """

    def __init__(self, *args: Any, patience: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.patience = patience

    def cursor(self, factory: Any = None) -> Any:
        """As sqlite3's, of the kind that waits."""
        return super().cursor(factory or _Cursor)


class _Cursor(sqlite3.Cursor):
    connection: PatientConnection

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        begun = moment = time.monotonic()
        while True:
            try:
                return super().execute(sql, parameters)
            except sqlite3.OperationalError as error:
                end = begun + self.connection.patience
                if moment >= end or not self._may_wait(error):
                    # The error's traceback holds this cursor, and its statement would hold the file open.
                    self.close()
                    raise
            time.sleep(min(max(FIRST, SHARE * (moment - begun)), LONGEST, end - moment))
            moment = time.monotonic()

    def _may_wait(self, error: sqlite3.OperationalError) -> bool:
        """Whether another one has locked the file, and no transaction is open.

        Who has read in one, and would now write what another one has written meanwhile, waits for nothing.
        """
        code = getattr(error, "sqlite_errorcode", 0)  # The module's own errors have none.
        return code & 0xFF == sqlite3.SQLITE_BUSY and not self.connection.in_transaction
