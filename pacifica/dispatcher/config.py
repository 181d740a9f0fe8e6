"""The settings: one table of options, and ``parse``, which makes ``Settings`` of texts.

A value comes from the first of these that has one: command line, environment, ``config.ini``, the
option's default. Reading any of them is another module's work; nothing here touches the world.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple

from .access import Grant, Network
from .config_ini import Given, IniText, Name, PlaceFault, read_ini
from .config_values import (
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
    mask_passwords,
    mask_value,
    or_none,
    seconds,
    whole_number,
)
from .errors import ConfigError, ConfigFault
from .job import State


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
           "How many jobs are purged in one transaction."),
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
_KINDS = {Name(option.section, option.key): option.kind for option in OPTIONS}


def parse(
    text: str | None,
    environ: Mapping[str, str],
    overrides: Mapping[tuple[str, str], str],
    *,
    celery_types: Mapping[str, Callable[[str], object]],
    source: str = "config.ini",
) -> Settings:
    """The settings that these texts make; raises a ``ConfigError`` with every fault that they have.

    ``celery_types`` converts the values of ``[celery]``; it refuses one with a ``ValueError`` that says
    why and does not quote it. ``source`` is what messages call ``text``. A variable that is empty counts
    as not set. A value that a later source replaces is not looked at.
    """
    ini = read_ini(text or "", source)
    given = given_values(ini, environ, overrides)
    strange = [_unknown_section(section, source) for section in ini.sections if section not in SECTIONS]
    values, wrong = _convert(given, celery_types)
    if faults := [*ini.faults, *strange, *wrong, *_forbidden(environ)]:
        raise ConfigError(faults)
    chosen = {
        section: {name.key: value for name, value in values.items() if name.section == section} for section in SECTIONS
    }
    return Settings(
        database=DatabaseSettings(**chosen["database"]),
        celery=MappingProxyType(chosen["celery"]),
        dispatcher=DispatcherSettings(**chosen["dispatcher"]),
        auth=AuthSettings(**chosen["auth"]),
        logging=LoggingSettings(**chosen["logging"]),
        retention=RetentionSettings(**chosen["retention"]),
    )


def given_values(
    ini: IniText, environ: Mapping[str, str], overrides: Mapping[tuple[str, str], str]
) -> dict[Name, Given]:
    """Each setting that is not left at its default, with the source that wins; nothing is judged."""
    given = ini.values | _environment(environ)
    return given | {Name(*name): Given(value, "command line") for name, value in overrides.items()}


def example_ini() -> str:
    """The text of a ``config.ini`` that sets every option to its default, and says what each is for."""
    lines = [
        "# Pacifica Dispatcher: every setting with its default. What is left out keeps its default.",
        "# The environment (BROKER_URL, PEEWEE_URL) and the command line replace what stands here.",
    ]
    for section in SECTIONS:
        lines += ["", f"[{section}]"]
        for option in OPTIONS:
            if option.section == section:
                lines += [f"# {option.why}", f"{option.key} = {option.default}".rstrip()]
        if section == "celery":
            lines += ["# Any other Celery setting by its own lower-case name, such as: worker_concurrency = 2"]
    return "\n".join(lines) + "\n"


def _environment(environ: Mapping[str, str]) -> dict[Name, Given]:
    return {
        name: Given(environ[variable], f"environment {variable}")
        for variable, name in ENVIRONMENT.items()
        if environ.get(variable)
    }


def _forbidden(environ: Mapping[str, str]) -> Iterable[PlaceFault]:
    if environ.get(FORBIDDEN):
        message = "Celery would write results there instead of [database]; unset it, and RESULT_BACKEND"
        yield PlaceFault("", "", f"environment {FORBIDDEN}", message)


def _convert(
    given: Mapping[Name, Given], celery_types: Mapping[str, Callable[[str], object]]
) -> tuple[dict[Name, Any], list[ConfigFault]]:
    kinds: dict[Name, Callable[[str], object]] = {Name("celery", key): kind for key, kind in celery_types.items()}
    kinds |= _KINDS
    values: dict[Name, Any] = {Name(*option[:2]): option.kind(option.default) for option in OPTIONS}
    faults: list[ConfigFault] = []
    for name, (text, origin) in given.items():
        if name not in kinds:
            if name.section in SECTIONS or origin == "command line":
                faults.append(_fault(name, text, origin, _unknown_key(name, kinds)))
            continue
        try:
            values[name] = kinds[name](text)
        except ValueError as error:
            faults.append(_fault(name, text, origin, mask_passwords(str(error))))
    return values, faults


def _fault(name: Name, text: str, origin: str, message: str) -> ConfigFault:
    """The value is shown on one line, shortened, and without what may be a password."""
    shown = mask_value(name.key, text).replace("\n", "\\n")
    shown = shown if len(shown) <= 200 else f"{shown[:200]}…"
    return ConfigFault(name.section, name.key, shown, f"{message} (from {origin})")


def _unknown_section(section: str, source: str) -> PlaceFault:
    near = get_close_matches(section.lower(), SECTIONS, 1)
    hint = f"did you mean [{near[0]}]?" if near else f"the sections are [{'], ['.join(SECTIONS)}]"
    return PlaceFault(section, "", f"[{section}]", f"there is no such section; {hint} (from {source})")


def _unknown_key(name: Name, known: Iterable[Name]) -> str:
    """Why there is no such setting: a near name, else the section that has it, else all names of the section."""
    keys = [key for section, key in known if section == name.section]
    elsewhere = [section for section, key in known if key == name.key]
    if near := get_close_matches(name.key, keys, 3, 0.7):
        return f"there is no such setting; did you mean {' or '.join(near)}?"
    if elsewhere:
        return f"there is no such setting here; [{elsewhere[0]}] has it"
    listed = [option.key for option in OPTIONS if option.section == name.section] or [f"[{each}]" for each in SECTIONS]
    more = " and whatever Celery names" if name.section == "celery" else ""
    return f"there is no such setting; there is {', '.join(listed)}{more}"
