"""The kind of failure that a driver's error stands for."""

import errno
import sqlite3

import peewee
import psycopg
import psycopg.errors
import pymysql
import pytest
from playhouse.pool import MaxConnectionsExceeded

from pacifica.dispatcher.store.connections import driver_errors

ERRORS = [
    (psycopg.errors.InvalidCatalogName("x"), "missing"),
    (psycopg.errors.UndefinedTable('relation "job" does not exist'), "no_tables"),
    (psycopg.errors.InvalidPassword("x"), "denied"),
    (psycopg.errors.ReadOnlySqlTransaction("x"), "read_only"),
    (psycopg.errors.DiskFull("x"), "full"),
    (psycopg.errors.TooManyConnections("x"), "unreachable"),
    (psycopg.errors.LockNotAvailable("x"), "locked"),
    (psycopg.errors.AdminShutdown("x"), "unreachable"),
    (psycopg.errors.ConnectionException("x"), "unreachable"),
    (psycopg.errors.QueryCanceled("x"), "silent"),
    (psycopg.OperationalError('connection failed: FATAL:  database "x" does not exist'), "missing"),
    (psycopg.OperationalError('connection failed: FATAL:  role "x" does not exist'), "denied"),
    (psycopg.OperationalError("connection failed: FATAL:  password authentication failed"), "denied"),
    (psycopg.OperationalError("connection failed: FATAL:  sorry, too many clients already"), "unreachable"),
    (psycopg.OperationalError("connection timeout expired"), "silent"),
    (psycopg.OperationalError("server closed the connection unexpectedly"), "unreachable"),
    (psycopg.OperationalError("failed to resolve host 'db': [Errno -2] Name or service not known"), "unreachable"),
    (psycopg.OperationalError("could not receive data: SSL SYSCALL error: EOF detected"), "unreachable"),
    (pymysql.OperationalError(1049, "x"), "missing"),
    (pymysql.ProgrammingError(1146, "x"), "no_tables"),
    (pymysql.OperationalError(1047, "WSREP has not yet prepared node for application use"), "unreachable"),
    (pymysql.OperationalError(1153, "Got a packet bigger than 'max_allowed_packet' bytes"), "other"),
    (pymysql.OperationalError(1045, "x"), "denied"),
    (pymysql.OperationalError(1205, "x"), "locked"),
    (pymysql.OperationalError(1290, "x"), "read_only"),
    (pymysql.OperationalError(1114, "x"), "full"),
    (pymysql.OperationalError(1040, "x"), "unreachable"),
    (pymysql.OperationalError(2003, "x"), "unreachable"),
    (pymysql.InterfaceError(0, ""), "other"),
    (sqlite3.OperationalError("no such table: job"), "no_tables"),
    (MaxConnectionsExceeded("x"), "exhausted"),
    (driver_errors.WritersBusy(), "locked"),
    (OSError(errno.ENOSPC, "x"), "full"),
    (OSError(errno.EROFS, "x"), "read_only"),
    (OSError(errno.EIO, "x"), "failing"),
    (OSError(errno.EISDIR, "x"), "other"),
    (TimeoutError(), "silent"),
]


def caused(error: BaseException, cause: BaseException) -> BaseException:
    """The error with its cause."""
    error.__cause__ = cause
    return error


def in_sqlite(code: int) -> sqlite3.OperationalError:
    """SQLite's error with this extended result code."""
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(("error", "kind"), ERRORS)
def test_an_error_is_classified_by_its_code(error: BaseException, kind: str) -> None:
    assert driver_errors.kind(caused(peewee.OperationalError("x"), error)) == driver_errors.kind(error) == kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "locked"),
        (sqlite3.SQLITE_LOCKED, "locked"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "read_only"),
        (sqlite3.SQLITE_FULL, "full"),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, "unopened"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "damaged"),
        (sqlite3.SQLITE_NOTADB, "damaged"),
        (sqlite3.SQLITE_IOERR_WRITE, "failing"),
        (sqlite3.SQLITE_ERROR, "other"),
    ],
)
def test_an_extended_code_of_sqlite_counts_as_its_primary_code(code: int, kind: str) -> None:
    assert driver_errors.kind(in_sqlite(code)) == kind


def test_a_failed_rollback_is_classified_by_the_first_failure() -> None:
    rollback = caused(in_sqlite(sqlite3.SQLITE_ERROR), peewee.OperationalError("x"))
    assert rollback.__cause__ is not None
    rollback.__cause__.__context__ = in_sqlite(sqlite3.SQLITE_FULL)
    assert driver_errors.reason(rollback) == "the disk is full"


@pytest.mark.parametrize("number", [2003, 2006, 2013])
def test_a_timeout_counts_more_than_the_lost_connection_that_it_leads_to(number: int) -> None:
    lost = caused(pymysql.OperationalError(number, "x"), TimeoutError())
    assert driver_errors.kind(caused(peewee.OperationalError("x"), lost)) == "silent"
    assert not driver_errors.may_be_dropped(lost)


@pytest.mark.parametrize("error", [psycopg.errors.DeadlockDetected("x"), pymysql.OperationalError(1213, "x")])
def test_a_deadlock_is_not_a_dropped_connection(error: BaseException) -> None:
    assert driver_errors.is_rolled_back(error)
    assert not driver_errors.may_be_dropped(error)


def test_no_reason_quotes_the_driver() -> None:
    assert {driver_errors.reason(error) for error, _ in ERRORS} <= set(driver_errors.SENTENCES.values())
