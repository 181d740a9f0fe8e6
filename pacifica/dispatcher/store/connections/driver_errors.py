"""The meaning of a driver's error, for messages, for metrics, and for the decision whether to try again.

An error is classified by its code: ``sqlite_errorcode``, PostgreSQL's ``sqlstate``, MySQL's number, ``errno``. The
errors of libpq about a connection that failed or was lost, and SQLite's about a missing table, have no code of their
own; they are classified by their text.
"""

import errno
import sqlite3
from collections.abc import Iterator, Mapping

from playhouse.pool import MaxConnectionsExceeded

from ...core.errors import DatabaseReplaced

NOT_SQLITE = "not_sqlite"
"""A case of ``damaged`` that has another sentence."""
SENTENCES: Mapping[str, str] = {
    "missing": "there is no database with this name",
    "no_tables": "it does not have the tables of this service, so it may not be the database of the workers",
    "denied": "it denies access to this user",
    "locked": "it is locked by another writer",
    "read_only": "it is read-only",
    "full": "the disk is full",
    "unopened": "its file cannot be opened",
    "replaced": "its file was removed or replaced",
    "damaged": "its file is damaged",
    NOT_SQLITE: "its file is not an SQLite database",
    "silent": "it did not answer in time",
    "unreachable": "it cannot be reached",
    "exhausted": "all its connections are in use",
    "failing": "its disk reports an error",
    "other": "it reported an error",
}
"""The kinds of failure, each with its sentence for users."""
SQLITE_CODES: Mapping[int, str] = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_CANTOPEN: "unopened",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: NOT_SQLITE,
    sqlite3.SQLITE_IOERR: "failing",
}
"""Primary result codes. Source: https://www.sqlite.org/rescode.html"""
SQL_STATES: Mapping[str, str] = {
    "3D000": "missing",
    "42P01": "no_tables",
    **dict.fromkeys(("28000", "28P01"), "denied"),
    "25006": "read_only",
    "53100": "full",
    "55P03": "locked",
    **dict.fromkeys(("53300", "57P01", "57P02", "57P03", "57P05", "25P03"), "unreachable"),
    "57014": "silent",
}
"""Source: https://www.postgresql.org/docs/current/errcodes-appendix.html"""
MYSQL_NUMBERS: Mapping[int, str] = {
    1049: "missing",
    1146: "no_tables",
    **dict.fromkeys((1044, 1045, 1698), "denied"),
    **dict.fromkeys((1290, 1792, 1836), "read_only"),
    **dict.fromkeys((1021, 1114), "full"),
    1205: "locked",
    **dict.fromkeys((1040, 1047, 1053, 1129, 1158, 1159, 1160, 1161, 1184, 1203, 1317, 1927), "unreachable"),
    **dict.fromkeys((2002, 2003, 2006, 2012, 2013, 2014, 4031), "unreachable"),
    **dict.fromkeys((1969, 3024), "silent"),
}
"""Source: https://mariadb.com/kb/en/mariadb-error-code-reference/"""
ERRNOS: Mapping[int, str] = {
    errno.ENOSPC: "full",
    errno.EROFS: "read_only",
    errno.ECONNREFUSED: "unreachable",
    errno.ECONNRESET: "unreachable",
    errno.EDQUOT: "full",
    errno.EIO: "failing",
    **dict.fromkeys((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPIPE, errno.ETIMEDOUT), "unreachable"),
}
WORDS: Mapping[str, str] = {
    "no such table": "no_tables",
    "fatal:  role ": "denied",
    "authentication failed": "denied",
    '" does not exist': "missing",
    "timed out": "silent",
    "timeout expired": "silent",
    "failed to resolve host": "unreachable",
    "no route to host": "unreachable",
    "syscall error": "unreachable",
    "connection": "unreachable",
}
"""Parts of the messages of SQLite and libpq, in lower case; the first match counts."""
DEADLOCK = 1213
"""MySQL's number."""
ROLLED_BACK = frozenset({"40P01", "40001"})
"""PostgreSQL's states for a deadlock and for a serialization failure."""


class WritersBusy(Exception):
    """The other writers of this process did not finish in time."""


def reason(error: BaseException) -> str:
    """The failure as a short sentence for users, without a path, SQL or an address."""
    return SENTENCES[_classify(error)]


def kind(error: BaseException) -> str:
    """The kind of failure in one word, for metrics."""
    found = _classify(error)
    return "damaged" if found == NOT_SQLITE else found


def _classify(error: BaseException) -> str:
    chain = list(_with_causes(error))
    if any(isinstance(one, MaxConnectionsExceeded) for one in chain):
        return "exhausted"
    if any(isinstance(one, TimeoutError) for one in chain):
        return "silent"
    by_code = next((found for one in chain if (found := _by_code(one))), None)
    return by_code or _by_words(" ".join(map(str, chain)).lower())


def is_too_large(error: BaseException) -> bool:
    """Whether SQLite refused a row that exceeds the connection's limit."""
    return any(getattr(one, "sqlite_errorcode", 0) == sqlite3.SQLITE_TOOBIG for one in _with_causes(error))


def may_be_dropped(error: BaseException) -> bool:
    """Whether the server may have dropped the connection, which drivers report in many ways."""
    return kind(error) in {"unreachable", "other"} and not is_rolled_back(error)


def is_rolled_back(error: BaseException) -> bool:
    """Whether the server has rolled back the whole transaction in favor of another one."""
    return any(
        getattr(one, "sqlstate", None) in ROLLED_BACK or one.args[:1] == (DEADLOCK,) for one in _with_causes(error)
    )


def _by_code(error: BaseException) -> str | None:
    if isinstance(error, WritersBusy):
        return "locked"
    if isinstance(error, DatabaseReplaced):
        return "replaced"
    if isinstance(error, sqlite3.Error):
        return SQLITE_CODES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)  # The module's own errors have none.
    if isinstance(error, OSError):
        return ERRNOS.get(error.errno or 0)
    state, number = getattr(error, "sqlstate", None), error.args[0] if error.args else None
    if isinstance(state, str):
        return SQL_STATES.get(state) or ("unreachable" if state.startswith("08") else None)
    return MYSQL_NUMBERS.get(number) if isinstance(number, int) else None


def _by_words(text: str) -> str:
    return next((found for words, found in WORDS.items() if words in text), "other")


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes: PeeWee's of the driver's, and a failed rollback's of the first failure."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
