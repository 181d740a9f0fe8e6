"""The settings: what there is, with the default of each, and the values that they become."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from ..core.job import State
from ..core.permissions import Grant, Network
from .ini import Name
from .value_kinds import (
    GRANTS,
    HEADER,
    HOSTS,
    MODULES,
    NETWORKS,
    TEXT,
    YES_NO,
    Kind,
    choice,
    database_url,
    or_none,
    seconds,
    whole_number,
)


@dataclass(frozen=True)
class DatabaseSettings:
    """Where the record is kept; times are in seconds."""

    peewee_url: str = field(repr=False)
    connect_attempts: int
    connect_wait: float
    busy_timeout: float
    answer_timeout: float


@dataclass(frozen=True)
class DispatcherSettings:
    """What the service itself does; times are in seconds, sizes in bytes."""

    tasks: tuple[str, ...]
    max_attempts: int
    arguments_limit: int
    arguments_bytes: int
    result_limit: int
    body_limit: int
    dispatch_synchronous: str
    report_synchronous: str
    relay_interval: float
    relay_batch: int
    lease_seconds: float
    republish_seconds: float
    report_patience: float
    stop_seconds: float
    idempotency_seconds: float
    batch_limit: int
    waiters: int
    wait_limit: float
    heartbeat_seconds: float
    progress_interval: float


@dataclass(frozen=True)
class AuthSettings:
    """Who may ask for what; ``rate_window`` is in seconds, a ``rate_limit`` of 0 is none."""

    anonymous: str
    hosts: tuple[str, ...]
    proxy_addresses: tuple[Network, ...]
    proxy_user_header: str
    proxy_scopes: tuple[Grant, ...]
    rate_limit: int
    rate_window: float
    show_tracebacks: bool


@dataclass(frozen=True)
class LoggingSettings:
    """What is logged, and how it looks; a Celery worker's own ``-l`` says how much it tells."""

    format: str
    level: str
    access: bool


@dataclass(frozen=True)
class RetentionSettings:
    """How long jobs are kept after their end; times are in seconds, ``None`` is for ever."""

    success_seconds: float | None
    failure_seconds: float | None
    revoked_seconds: float | None
    tombstone_seconds: float
    purge_batch: int
    purge_pause: float

    @property
    def ages(self) -> Mapping[State, float]:
        """How long a job of a state is kept, for the states whose jobs are purged at all."""
        of = {
            State.SUCCESS: self.success_seconds,
            State.FAILURE: self.failure_seconds,
            State.REVOKED: self.revoked_seconds,
        }
        return {state: age for state, age in of.items() if age is not None}


@dataclass(frozen=True)
class Settings:
    """The whole configuration, valid; whatever may hold a password is left out of its ``repr``."""

    database: DatabaseSettings
    celery: Mapping[str, Any] = field(repr=False)
    dispatcher: DispatcherSettings
    auth: AuthSettings
    logging: LoggingSettings
    retention: RetentionSettings


class Option(NamedTuple):
    """One setting; ``default`` is written as ``config.ini`` would hold it, ``why`` is the comment above it."""

    section: str
    key: str
    kind: Kind
    default: str
    why: str


SCHEMES = tuple(f"{name}{pool}" for name in ("sqlite", "sqliteext", "postgresql", "mysql") for pool in ("", "+pool"))
"""What may stand before the ``://`` of ``peewee_url``; the record layer has the same list."""

_DURABILITY = choice("full", "normal")
_AGE = or_none(seconds(1, 3_155_760_000))
# fmt: off
OPTIONS: tuple[Option, ...] = (
    Option("database", "peewee_url", database_url(SCHEMES), "sqliteext:///db.sqlite3",
           "Where the jobs are kept; a relative SQLite path is relative to the working directory."),
    Option("database", "connect_attempts", whole_number(1, 10_000), "10",
           "How often a starting process tries to connect."),
    Option("database", "connect_wait", seconds(0, 3600), "1",
           "The pause between two of those tries, in seconds."),
    Option("database", "busy_timeout", seconds(0, 3600), "30",
           "How long a write waits for another one to end, in seconds (SQLite only)."),
    Option("database", "answer_timeout", seconds(0.1, 3600), "5",
           "How long a server may take to answer a statement, in seconds (not SQLite); then requests are refused."),
    Option("celery", "broker_url", TEXT, "pyamqp://",
           "The message broker as Celery names it; semicolons separate several for failover."),
    Option("dispatcher", "tasks", MODULES, "",
           "The modules that define your tasks; the server and its workers load them."),
    Option("dispatcher", "max_attempts", whole_number(1, 1_000_000), "3",
           "How often a job is started, when its worker dies each time, before it counts as failed."),
    Option("dispatcher", "arguments_limit", whole_number(1, 1_000_000), "1000",
           "How many arguments a job may have, by position and by name together."),
    Option("dispatcher", "arguments_bytes", whole_number(4, 1_000_000_000), "1048576",
           "The largest arguments of a job, in bytes of JSON."),
    Option("dispatcher", "result_limit", whole_number(2, 1_000_000_000), "1048576",
           "The largest result, in bytes of JSON; a larger one makes its job fail."),
    Option("dispatcher", "body_limit", whole_number(1, 1_000_000_000), "16777216",
           "The largest request body, in bytes."),
    Option("dispatcher", "dispatch_synchronous", _DURABILITY, "full",
           "full: an accepted job survives a power cut; normal: faster, and it may not (SQLite only)."),
    Option("dispatcher", "report_synchronous", _DURABILITY, "normal",
           "The same for what a worker reports; with normal, a job may run again after a power cut (SQLite only)."),
    Option("dispatcher", "relay_interval", seconds(0.01, 3600), "1",
           "The pause between two sweeps of the outbox for what an earlier process left, in seconds."),
    Option("dispatcher", "relay_batch", whole_number(1, 10_000), "100",
           "How many jobs are published in one round."),
    Option("dispatcher", "lease_seconds", seconds(0.3, 86_400), "30",
           "How long a worker shows no sign of life before its jobs are put back, in seconds."),
    Option("dispatcher", "republish_seconds", seconds(0.1, 86_400), "60",
           "How long a sent job waits before its queue is looked at for a lost message, in seconds."),
    Option("dispatcher", "report_patience", seconds(0, 86_400), "300",
           "How long a worker tries to store what became of a job while the database is away, in seconds."),
    Option("dispatcher", "stop_seconds", seconds(0, 604_800), "3600",
           "How long running jobs may go on after a worker is told to stop (SIGTERM), in seconds."),
    Option("dispatcher", "idempotency_seconds", seconds(1, 31_622_400), "86400",
           "How long an Idempotency-Key stands for its job, in seconds."),
    Option("dispatcher", "batch_limit", whole_number(1, 1_000_000), "10000",
           "How many jobs one request may dispatch."),
    Option("dispatcher", "waiters", whole_number(0, 10_000), "4",
           "How many requests of one web process may wait or stream at the same time; at most half of its threads do."),
    Option("dispatcher", "wait_limit", seconds(0, 3600), "60",
           "The longest time that a request may wait for its job, in seconds."),
    Option("dispatcher", "heartbeat_seconds", seconds(0.1, 3600), "15",
           "How long an event stream may be silent, in seconds."),
    Option("dispatcher", "progress_interval", seconds(0, 3600), "1",
           "The shortest time between two reports of progress that are stored of one job, in seconds."),
    Option("auth", "anonymous", choice("loopback", "anywhere", "none"), "loopback",
           "Who may ask without a token: programs on this machine, anybody who reaches the server, or nobody."),
    Option("auth", "hosts", HOSTS, "",
           "The names by which clients call this server, beside localhost; others are then refused."),
    Option("auth", "proxy_addresses", NETWORKS, "",
           "The addresses or CIDR blocks of the proxies whose word is taken for who the user is."),
    Option("auth", "proxy_user_header", HEADER, "X-Forwarded-User",
           "The header in which such a proxy names the user."),
    Option("auth", "proxy_scopes", GRANTS, "read, dispatch, cancel",
           "What such a user may do: read, dispatch, cancel, admin, each also for some tasks only (dispatch:lab.*)."),
    Option("auth", "rate_limit", whole_number(0, 1_000_000_000), "0",
           "How many requests a caller has in each rate_window, in each web process; 0 is no limit."),
    Option("auth", "rate_window", seconds(1, 86_400), "60",
           "The window of the rate limit, in seconds."),
    Option("auth", "show_tracebacks", YES_NO, "false",
           "Whether those who may read a failed job see its traceback, too."),
    Option("logging", "format", choice("plain", "json"), "plain",
           "How a log line looks: plain for people, json for programs (docs/logging.md)."),
    Option("logging", "level", choice("debug", "info", "warning", "error"), "info",
           "The least level that the web server logs; a worker has Celery's own -l for that."),
    Option("logging", "access", YES_NO, "true",
           "Whether each request is a line."),
    Option("retention", "success_seconds", _AGE, "none",
           "How long a job that succeeded is kept after its end, in seconds; none keeps it and its result for ever."),
    Option("retention", "failure_seconds", _AGE, "none",
           "The same for a job that failed."),
    Option("retention", "revoked_seconds", _AGE, "none",
           "The same for a job that was revoked."),
    Option("retention", "tombstone_seconds", seconds(0, 3_155_760_000), "31536000",
           "How long a purged job's UUID answers 410 and not 404, in seconds, rounded up to an hour."),
    Option("retention", "purge_batch", whole_number(1, 10_000), "100",
           "How many jobs are purged in one transaction, at most."),
    Option("retention", "purge_pause", seconds(0, 3600), "0.05",
           "The shortest pause after each of these, in seconds, in which others write."),
)
# fmt: on
SECTIONS = tuple(dict.fromkeys(option.section for option in OPTIONS))
ENVIRONMENT: Mapping[str, Name] = MappingProxyType(
    {
        "BROKER_URL": Name("celery", "broker_url"),
        "CELERY_BROKER_URL": Name("celery", "broker_url"),
        "PEEWEE_URL": Name("database", "peewee_url"),
        "DISPATCHER_ANONYMOUS": Name("auth", "anonymous"),
    }
)
"""The later of two wins. Celery itself prefers CELERY_BROKER_URL to any setting, and its ``-b`` option sets it."""
FORBIDDEN = "CELERY_RESULT_BACKEND"
"""With this variable, Celery would write results past the record."""
