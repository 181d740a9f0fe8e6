"""The settings: one model per section of ``config.ini``, and one field per setting.

A field is the only place where a setting is declared: its name, type, limits, default, and the comment that
``config.ini`` and docs/settings.md show. ``make docs`` writes both files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ..core.job import State
from ..core.permissions import parse_grants
from .ini import Name
from .value_types import (
    Age,
    Applications,
    DatabaseUrl,
    Grants,
    Header,
    Hosts,
    Line,
    Modules,
    Networks,
    QueuePatterns,
    RootPath,
    Seconds,
    TaskPatterns,
    WholeNumber,
    YesNo,
    described,
)


class Section(BaseModel):
    """A section of ``config.ini``: it is made from the texts of the file, and is immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    @classmethod
    def allowed(cls, key: str) -> str:
        """The values that a setting may have, as a noun phrase."""
        return described(cls.model_json_schema()["properties"][key])


# fmt: off
class DatabaseSettings(Section):
    """Where the record is kept."""

    peewee_url: DatabaseUrl = Field("sqliteext:///db.sqlite3", repr=False,
        description="The URL of the database. A relative SQLite path is relative to the working directory.")
    connect_attempts: WholeNumber = Field(10, ge=1, le=10_000,
        description="How many times a starting process tries to connect to the database.")
    connect_wait: Seconds = Field(1, ge=0, le=3600,
        description="The pause between two attempts to connect, in seconds.")
    busy_timeout: Seconds = Field(30, ge=0, le=3600,
        description="How long a write waits for another write to end, in seconds (SQLite only).")
    answer_timeout: Seconds = Field(5, ge=0.1, le=3600,
        description="How long a database server may take to answer before requests fail, in seconds (not SQLite).")


class BrokerSettings(Section):
    """The setting of ``[celery]`` that is always set; ``celery_settings`` adds the settings of Celery's own table."""

    broker_url: Line = Field("pyamqp://", repr=False,
        description="The URL of the message broker, as in Celery. Semicolons separate several URLs for failover.")

    @property
    def chosen(self) -> Mapping[str, Any]:
        """The broker's URL, and each of Celery's settings that is not left at its default."""
        return MappingProxyType({key: getattr(self, key) for key in sorted({"broker_url", *self.model_fields_set})})


class DispatcherSettings(Section):
    """The service itself."""

    tasks: Modules = Field((),
        description="The Python modules that define your tasks. The server and its workers import them.")
    adopt: Applications = Field((),
        description="Celery applications, such as shop.celery:app, whose tasks the service offers without a change.")
    adopt_only: TaskPatterns = Field((),
        description="The plain Celery tasks that are offered, such as shop.reports.*; empty: all of them.")
    max_attempts: WholeNumber = Field(3, ge=1, le=1_000_000,
        description="How many times a job is started, if its worker dies each time, before it fails.")
    arguments_limit: WholeNumber = Field(1000, ge=1, le=1_000_000,
        description="The maximum number of arguments of a job, positional and named together.")
    arguments_bytes: WholeNumber = Field(1_048_576, ge=4, le=1_000_000_000,
        description="The maximum size of a job's arguments, in bytes of JSON.")
    result_limit: WholeNumber = Field(1_048_576, ge=2, le=1_000_000_000,
        description="The maximum size of a result, in bytes of JSON. A job with a larger result fails.")
    body_limit: WholeNumber = Field(16_777_216, ge=1, le=1_000_000_000,
        description="The maximum size of a request body, in bytes.")
    dispatch_synchronous: Literal["full", "normal"] = Field("full",
        description="full: an accepted job survives a power failure. normal: faster, but it may be lost (SQLite only).")
    report_synchronous: Literal["full", "normal"] = Field("normal",
        description="The same for a worker's reports. normal: a job may run again after a power failure (SQLite only).")
    relay_interval: Seconds = Field(1, ge=0.01, le=3600,
        description="With a broker: the pause between two searches for jobs that no process has published, in seconds.")
    relay_batch: WholeNumber = Field(100, ge=1, le=10_000,
        description="With a broker: the maximum number of jobs that are published in one round.")
    lease_seconds: Seconds = Field(30, ge=0.3, le=86_400,
        description="How long a worker's heartbeat may be missing before its jobs are put back, in seconds.")
    republish_seconds: Seconds = Field(60, ge=0.1, le=86_400,
        description="How long a published job waits before its queue is checked for a lost message, in seconds.")
    report_patience: Seconds = Field(300, ge=0, le=86_400,
        description="How long a job's process retries changes of the record while the database is down, in seconds.")
    stop_seconds: Seconds = Field(3600, ge=0, le=604_800,
        description="How long running jobs may continue after a worker receives SIGTERM, in seconds.")
    idempotency_seconds: Seconds = Field(86_400, ge=1, le=31_622_400,
        description="How long an Idempotency-Key refers to its job, in seconds.")
    root_path: RootPath = Field("",
        description="The path below which a proxy offers the service, such as /jobs: links begin with it.")
    queues: QueuePatterns = Field((),
        description="The queues that requests may name, besides those of Celery's settings and tasks; * is a wildcard.")
    batch_limit: WholeNumber = Field(10_000, ge=1, le=1_000_000,
        description="The maximum number of jobs that one request may dispatch.")
    waiters: WholeNumber = Field(1000, ge=0, le=10_000,
        description="How many requests of a web process may wait or stream at a time (gunicorn: half of its threads).")
    wait_limit: Seconds = Field(60, ge=0, le=3600,
        description="The maximum time that a request may wait for its job, in seconds.")
    heartbeat_seconds: Seconds = Field(15, ge=0.1, le=3600,
        description="The maximum time that an event stream is silent, in seconds.")
    progress_interval: Seconds = Field(1, ge=0, le=3600,
        description="The minimum time between two progress reports of one job that are stored, in seconds.")


class ServerSettings(Section):
    """The web server of ``python -m pacifica.dispatcher`` and ``up``."""

    processes: WholeNumber = Field(1, ge=1, le=256,
        description="How many processes serve, on one port.")


class AuthSettings(Section):
    """The clients that may use the service."""

    anonymous: Literal["loopback", "anywhere", "none"] = Field("loopback",
        description="Which clients need no token: those on this machine (loopback), all of them (anywhere), or none.")
    hosts: Hosts = Field((),
        description="The host names of this server besides localhost. If any are set, other names are refused.")
    proxy_addresses: Networks = Field((),
        description="The addresses or CIDR blocks of the proxies that are trusted to name the user.")
    proxy_user_header: Header = Field("X-Forwarded-User",
        description="The header in which a trusted proxy names the user.")
    proxy_scopes: Grants = Field(parse_grants(("read", "dispatch", "cancel")),
        description="The scopes of such a user: read, dispatch, cancel, admin; each can name tasks (dispatch:lab.*).")
    rate_limit: WholeNumber = Field(0, ge=0, le=1_000_000_000,
        description="The maximum number of requests of a caller per rate_window and web process; 0 means no limit.")
    rate_window: Seconds = Field(60, ge=1, le=86_400, description="The window of the rate limit, in seconds.")
    get_dispatch: YesNo = Field(default=True,
        description="Whether GET /dispatch dispatches a job; off answers 405, and only POST dispatches.")
    show_tracebacks: Literal["loopback", "anywhere", "none"] = Field("loopback",
        description="Where callers who may read a failed job also see its traceback: on this machine (loopback), "
        "anywhere, or nowhere (none).")


class DashboardSettings(Section):
    """The pages for people, at / and below /ui."""

    mode: Literal["full", "read-only", "off"] = Field("full",
        description="full: people can also start, cancel and repeat jobs in the pages. read-only: they can only look.")


class LoggingSettings(Section):
    """The log lines; a Celery worker has its own ``-l`` option for the level."""

    format: Literal["plain", "json"] = Field("plain",
        description="The form of a log line: plain for people, json for programs (docs/logging.md).")
    level: Literal["debug", "info", "warning", "error"] = Field("info",
        description="The lowest level that the web server logs. For a worker, use Celery's -l option.")
    access: YesNo = Field(default=True, description="Whether each request is logged.")


class RetentionSettings(Section):
    """How long jobs are kept after they end; an age of ``None`` means forever."""

    success_seconds: Age = Field(None,
        description="How long a successful job and its result are kept after its end, in seconds; none means forever.")
    failure_seconds: Age = Field(None, description="The same for a failed job.")
    revoked_seconds: Age = Field(None, description="The same for a revoked job.")
    tombstone_seconds: Seconds = Field(31_536_000, ge=0, le=3_155_760_000,
        description="How long a purged job's UUID is answered with 410, not 404, in seconds, rounded up to an hour.")
    purge_batch: WholeNumber = Field(100, ge=1, le=10_000,
        description="The maximum number of jobs that are purged in one transaction.")
    purge_pause: Seconds = Field(0.05, ge=0, le=3600,
        description="The minimum pause between two such transactions, in seconds, so that other writes proceed.")

    @property
    def ages(self) -> Mapping[State, float]:
        """How long a job is kept, for each state whose jobs are purged."""
        by_state = {
            State.SUCCESS: self.success_seconds,
            State.FAILURE: self.failure_seconds,
            State.REVOKED: self.revoked_seconds,
        }
        return {state: age for state, age in by_state.items() if age is not None}


# fmt: on
@dataclass(frozen=True)
class Settings:
    """The whole configuration, checked; its ``repr`` shows no setting that may contain a password."""

    database: DatabaseSettings
    celery: Mapping[str, Any] = field(repr=False)
    dispatcher: DispatcherSettings
    server: ServerSettings
    auth: AuthSettings
    dashboard: DashboardSettings
    logging: LoggingSettings
    retention: RetentionSettings

    @property
    def names_broker(self) -> bool:
        """Whether ``broker_url`` differs from its default: otherwise an adopted application keeps its own broker."""
        return bool(self.celery["broker_url"] != BrokerSettings.model_fields["broker_url"].default)


SECTIONS: Mapping[str, type[Section]] = {
    "database": DatabaseSettings,
    "celery": BrokerSettings,
    "dispatcher": DispatcherSettings,
    "server": ServerSettings,
    "auth": AuthSettings,
    "dashboard": DashboardSettings,
    "logging": LoggingSettings,
    "retention": RetentionSettings,
}
ENVIRONMENT: Mapping[str, Name] = {
    "BROKER_URL": Name("celery", "broker_url"),
    "CELERY_BROKER_URL": Name("celery", "broker_url"),
    "PEEWEE_URL": Name("database", "peewee_url"),
    "DISPATCHER_ANONYMOUS": Name("auth", "anonymous"),
}
"""The variables that override a setting. CELERY_BROKER_URL comes after BROKER_URL and wins, as in Celery."""


class Setting(NamedTuple):
    """A setting, with its default as written in ``config.ini`` and the comment above it."""

    section: str
    key: str
    default: str
    description: str


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


SETTINGS = tuple(
    Setting(section, key, _written(field.default), field.description or "")
    for section, model in SECTIONS.items()
    for key, field in model.model_fields.items()
)


def example_ini() -> str:
    """A ``config.ini`` that sets every setting to its default, each below a comment that describes it."""
    lines = [
        "# Pacifica Dispatcher: every setting with its default. A setting that is left out keeps its default.",
        "# The environment (BROKER_URL, PEEWEE_URL, DISPATCHER_ANONYMOUS) overrides the values in this file.",
    ]
    for section in SECTIONS:
        lines += ["", f"[{section}]"]
        for setting in SETTINGS:
            if setting.section == section:
                lines += [f"# {setting.description}", f"{setting.key} = {setting.default}".rstrip()]
        if section == "celery":
            lines += ["# Any other Celery setting, by its lower-case name, such as: worker_concurrency = 2"]
    return "\n".join(lines) + "\n"
