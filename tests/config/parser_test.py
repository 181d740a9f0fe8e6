"""``parse`` returns the settings, or raises one error that lists every fault."""

import difflib
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_network
from typing import Annotated

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from pacifica.dispatcher.config.parser import parse
from pacifica.dispatcher.config.settings import (
    SECTIONS,
    SETTINGS,
    AuthSettings,
    BrokerSettings,
    RetentionSettings,
    Setting,
    Settings,
)
from pacifica.dispatcher.config.value_types import DIGITS, SCHEMES
from pacifica.dispatcher.core.errors import ConfigError
from pacifica.dispatcher.core.permissions import Grant


class SomeCelerySettings(BrokerSettings):
    """The section ``[celery]`` with only two of Celery's settings."""

    worker_concurrency: Annotated[int, Field(ge=1), DIGITS] = 1
    redis_password: str = ""


IDS = [f"{setting.section}.{setting.key}" for setting in SETTINGS]
BAD_VALUES = {
    "peewee_url": ("", "db.sqlite3", "postgres://h/d", "mysql://h:port/d", "sqlite://", "sqliteext:///:memory:"),
    "connect_attempts": ("", "0", "-1", "1.5", "1e3", "1_0", "ten", "\u0661\u0662", "9" * 30, "1\n2"),
    "connect_wait": ("", "-0.1", "1e3", "inf", "nan", "1,5", "1s", "3601"),
    "busy_timeout": ("", "-1", "infinity", "30 s"),
    "answer_timeout": ("", "0", "0.05", "3601"),
    "broker_url": ("", "pyamqp://a\x07b", "pyamqp://\nredis://"),
    "tasks": ("my-tasks", "a b", "a..b", "tasks/mine.py", "class", "1st"),
    "adopt": ("my-shop.celery:app", "shop.celery:", "shop.celery:my-app", "shop/celery.py", "shop.celery:app.x"),
    "adopt_only": ("a b", "x" * 192),
    "max_attempts": ("", "0", "many", "1000001"),
    "arguments_limit": ("", "0", "many", "1000001"),
    "arguments_bytes": ("", "3", "1MB", "1000000001"),
    "result_limit": ("", "0", "1MB", "1000000001"),
    "body_limit": ("", "0", "16MB", "1000000001"),
    "dispatch_synchronous": ("", "Full", "off", "full, normal"),
    "report_synchronous": ("", "extra"),
    "relay_interval": ("", "0", "0.001", "-1"),
    "relay_batch": ("", "0", "10001"),
    "lease_seconds": ("", "0", "0.2", "86401"),
    "republish_seconds": ("", "0", "86401"),
    "report_patience": ("", "-1", "forever"),
    "stop_seconds": ("", "-1", "604801"),
    "idempotency_seconds": ("", "0", "31622401"),
    "root_path": ("jobs", "/a b", "//x", "/..", "/a/../b", "/é", "/%41", "http://x/a"),
    "batch_limit": ("", "0", "1000001", "1.5"),
    "waiters": ("", "-1", "10001", "1.5"),
    "wait_limit": ("", "-1", "3601"),
    "heartbeat_seconds": ("", "0", "0.01", "3601"),
    "progress_interval": ("", "-1", "3601"),
    "processes": ("", "0", "257", "1.5"),
    "anonymous": ("", "Loopback", "everybody", "none, loopback"),
    "hosts": ("http://lab", "lab:8050", "a b"),
    "queues": ("a b", "[ab]", "é"),
    "proxy_addresses": ("localhost", "10.0.0.1/8", "10.0.0.0/33", "1.2.3"),
    "proxy_user_header": ("", "X_Forwarded_User", "X User", "X:User"),
    "proxy_scopes": ("write", "read write", "dispatch:", "dispatch:a b"),
    "rate_limit": ("", "-1", "many"),
    "rate_window": ("", "0", "86401"),
    "get_dispatch": ("", "maybe"),
    "show_tracebacks": ("", "yes"),
    "mode": ("", "on", "readonly"),
    "format": ("", "JSON", "logfmt"),
    "level": ("", "INFO", "trace"),
    "access": ("", "sometimes"),
    "success_seconds": ("", "0", "-1", "forever", "30d"),
    "failure_seconds": ("", "0.5", "month"),
    "revoked_seconds": ("", "0", "1e3"),
    "tombstone_seconds": ("", "-1", "none", "year"),
    "purge_batch": ("", "0", "10001"),
    "purge_pause": ("", "-1", "3601"),
}
GOOD_VALUES: Mapping[str, tuple[str, object]] = {
    "peewee_url": ("postgresql+pool://u:p%40ss@db:5432/jobs?max_connections=4", None),
    "connect_attempts": ("7", 7),
    "connect_wait": ("0.25", 0.25),
    "busy_timeout": ("5", 5.0),
    "answer_timeout": ("0.5", 0.5),
    "broker_url": ("amqp://one;amqp://two", None),
    "tasks": ("mine.tasks, yours,\n  mine.tasks,", ("mine.tasks", "yours")),
    "adopt": ("shop.celery:app, billing", ("shop.celery:app", "billing")),
    "adopt_only": ("shop.reports.*,\n  shop.add", ("shop.reports.*", "shop.add")),
    "max_attempts": ("1", 1),
    "arguments_limit": ("1", 1),
    "arguments_bytes": ("4", 4),
    "result_limit": ("2", 2),
    "body_limit": ("1000", 1000),
    "dispatch_synchronous": ("normal", None),
    "report_synchronous": ("full", None),
    "relay_interval": ("0.01", 0.01),
    "relay_batch": ("10000", 10000),
    "lease_seconds": ("0.5", 0.5),
    "republish_seconds": ("0.1", 0.1),
    "report_patience": ("0", 0.0),
    "stop_seconds": ("60", 60.0),
    "idempotency_seconds": ("1", 1.0),
    "root_path": ("/lab/jobs/", "/lab/jobs"),
    "batch_limit": ("5", 5),
    "waiters": ("0", 0),
    "wait_limit": ("0.5", 0.5),
    "heartbeat_seconds": ("0.5", 0.5),
    "progress_interval": ("0", 0.0),
    "processes": ("2", 2),
    "anonymous": ("none", None),
    "hosts": ("jobs.lab, jobs", ("jobs.lab", "jobs")),
    "queues": ("slow, lab.*", ("slow", "lab.*")),
    "proxy_addresses": ("10.0.0.1, fd00::/8", (ip_network("10.0.0.1"), ip_network("fd00::/8"))),
    "proxy_user_header": ("Remote-User", None),
    "proxy_scopes": ("read, dispatch:lab.*", (Grant("read"), Grant("dispatch", "lab.*"))),
    "rate_limit": ("100", 100),
    "rate_window": ("1", 1.0),
    "get_dispatch": ("off", False),
    "show_tracebacks": ("anywhere", "anywhere"),
    "mode": ("read-only", "read-only"),
    "format": ("json", "json"),
    "level": ("warning", "warning"),
    "access": ("off", False),
    "success_seconds": ("2592000", 2592000.0),
    "failure_seconds": ("86400", 86400.0),
    "revoked_seconds": ("1.5", 1.5),
    "tombstone_seconds": ("0", 0.0),
    "purge_batch": ("1000", 1000),
    "purge_pause": ("0", 0.0),
}


def settings(
    text: str = "",
    environ: Mapping[str, str] | None = None,
) -> Settings:
    return parse(text, environ or {}, celery=SomeCelerySettings, source="/etc/d.ini")


def faults(
    text: str = "",
    environ: Mapping[str, str] | None = None,
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings(text, environ)
    assert str(caught.value).split("\n") == [str(fault) for fault in caught.value.faults]
    return [str(fault) for fault in caught.value.faults]


def value_of(made: Settings, setting: Setting) -> object:
    section = getattr(made, setting.section)
    return section[setting.key] if isinstance(section, Mapping) else getattr(section, setting.key)


def test_no_text_at_all_gives_the_documented_defaults() -> None:
    made = settings()
    assert made.database.model_dump() == {
        "peewee_url": "sqliteext:///db.sqlite3",
        "connect_attempts": 10,
        "connect_wait": 1.0,
        "busy_timeout": 30.0,
        "answer_timeout": 5.0,
    }
    assert dict(made.celery) == {"broker_url": "pyamqp://"}
    assert made.dispatcher.model_dump() == {
        "tasks": (),
        "adopt": (),
        "adopt_only": (),
        "max_attempts": 3,
        "arguments_limit": 1000,
        "arguments_bytes": 1048576,
        "result_limit": 1048576,
        "body_limit": 16777216,
        "dispatch_synchronous": "full",
        "report_synchronous": "normal",
        "relay_interval": 1.0,
        "relay_batch": 100,
        "lease_seconds": 30.0,
        "republish_seconds": 60.0,
        "report_patience": 300.0,
        "stop_seconds": 3600.0,
        "idempotency_seconds": 86400.0,
        "root_path": "",
        "queues": (),
        "batch_limit": 10000,
        "waiters": 1000,
        "wait_limit": 60.0,
        "heartbeat_seconds": 15.0,
        "progress_interval": 1.0,
    }
    assert made.auth == AuthSettings(
        anonymous="loopback",
        hosts=(),
        proxy_addresses=(),
        proxy_user_header="X-Forwarded-User",
        proxy_scopes=(Grant("read"), Grant("dispatch"), Grant("cancel")),
        rate_limit=0,
        rate_window=60.0,
        get_dispatch=True,
        show_tracebacks="loopback",
    )
    assert made.retention == RetentionSettings(
        success_seconds=None,
        failure_seconds=None,
        revoked_seconds=None,
        tombstone_seconds=31_536_000.0,
        purge_batch=100,
        purge_pause=0.05,
    )


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "[database]\n[celery]\n[dispatcher]\n"])
def test_text_without_values_gives_the_defaults(text: str) -> None:
    assert settings(text) == settings()


def test_every_setting_is_a_field_with_a_description() -> None:
    made = settings()
    for section in SECTIONS:
        keys = [setting.key for setting in SETTINGS if setting.section == section]
        part = getattr(made, section)
        assert keys == list(part if isinstance(part, Mapping) else part.model_dump())
    assert all(setting.description.endswith(".") for setting in SETTINGS)


@pytest.mark.parametrize("setting", SETTINGS, ids=IDS)
def test_every_setting_can_be_set(setting: Setting) -> None:
    text, expected = GOOD_VALUES[setting.key]
    made = settings(f"[{setting.section}]\n{setting.key} = {text}\n")
    assert value_of(made, setting) == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("setting", "text"),
    [pytest.param(each, text, id=f"{each.key}={text!r}") for each in SETTINGS for text in BAD_VALUES[each.key]],
)
def test_bad_value_is_refused_with_its_name_and_the_allowed_values(setting: Setting, text: str) -> None:
    indented = text.replace("\n", "\n  ")
    (fault,) = faults(f"[{setting.section}]\n{setting.key} = {indented}\n")
    assert fault.startswith(f"[{setting.section}] {setting.key} = ")
    assert SECTIONS[setting.section].allowed(setting.key) in fault
    assert "\n" not in fault


def test_first_faulty_entry_of_a_list_is_named() -> None:
    (fault,) = faults("[auth]\nproxy_scopes = read, write, wrong")
    assert "entry 2 is not valid ('write' is not a scope" in fault
    (fault,) = faults("[auth]\nproxy_addresses = ::1, 10.0.0.1/8, proxy")
    assert ": entry 2 is not valid; it must be IP addresses or CIDR blocks, separated by commas" in fault


def test_all_faults_are_reported_at_once() -> None:
    found = faults(
        """stray = 1
[dispatcher]
max_attempts = none
relay_bach = 5
what is this
tasks = mine
tasks = yours
[databse]
connect_wait = 1
[celery]
worker_concurrency = many
[dispatcher]
relay_interval = 0
result_limit = big
""",
        {"PEEWEE_URL": "oracle://db"},
    )
    assert [fault.split(": ")[0] for fault in found] == [
        "/etc/d.ini, line 1",
        "/etc/d.ini, line 5",
        "/etc/d.ini, line 7",
        "/etc/d.ini, line 12",
        "[databse]",
        "[dispatcher] max_attempts = none",
        "[dispatcher] relay_bach = 5",
        "[celery] worker_concurrency = many",
        "[dispatcher] relay_interval = 0",
        "[dispatcher] result_limit = big",
        "[database] peewee_url = oracle://db",
    ]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "pyamqp://file"),
        ({"BROKER_URL": "pyamqp://env"}, "pyamqp://env"),
        ({"BROKER_URL": ""}, "pyamqp://file"),
        ({"BROKER_URL": "pyamqp://env", "CELERY_BROKER_URL": "pyamqp://celery"}, "pyamqp://celery"),
    ],
)
def test_environment_wins_over_the_file(environ: Mapping[str, str], expected: str) -> None:
    assert settings("[celery]\nbroker_url = pyamqp://file", environ).celery["broker_url"] == expected


def test_each_source_alone_replaces_the_default() -> None:
    url = "sqliteext:///mine.sqlite3"
    assert settings(f"[database]\npeewee_url = {url}").database.peewee_url == url
    assert settings(environ={"PEEWEE_URL": url}).database.peewee_url == url


def test_value_that_the_environment_replaces_is_not_checked() -> None:
    text = "[database]\npeewee_url = CHANGE ME"
    assert settings(text, {"PEEWEE_URL": "sqlite:///x.db"}).database.peewee_url == "sqlite:///x.db"


def test_fault_names_the_source_of_its_value() -> None:
    assert faults("[database]\npeewee_url = x")[0].endswith("(from /etc/d.ini)")
    assert faults(environ={"PEEWEE_URL": "x"})[0].endswith("(from environment PEEWEE_URL)")
    assert faults(environ={"BROKER_URL": "\t"})[0].endswith("(from environment BROKER_URL)")


def test_other_environment_variables_are_ignored() -> None:
    assert settings(environ={"MAX_ATTEMPTS": "x", "DATABASE_PEEWEE_URL": "x", "peewee_url": "x"}) == settings()


@pytest.mark.parametrize(
    ("section", "key", "hint"),
    [
        ("dispatcher", "max_attempt", "did you mean max_attempts?"),
        ("dispatcher", "max-attempts", "did you mean max_attempts?"),
        ("database", "peewe_url", "did you mean peewee_url?"),
        ("celery", "worker_concurency", "did you mean worker_concurrency?"),
        ("celery", "brokerurl", "did you mean broker_url?"),
        ("database", "tasks", "[dispatcher] has it"),
        ("dispatcher", "worker_concurrency", "[celery] has it"),
        ("database", "zzz", "the section has peewee_url, connect_attempts, connect_wait, busy_timeout, answer_timeout"),
        ("celery", "zzz", "the section has broker_url and every setting of Celery"),
    ],
)
def test_unknown_key_is_a_fault_with_a_suggestion(section: str, key: str, hint: str) -> None:
    (fault,) = faults(f"[{section}]\n{key} = 1")
    assert fault == f"[{section}] {key} = 1: {fault.split(': ', 1)[1]}"
    assert hint in fault


@given(st.sampled_from(SETTINGS), st.data())
def test_key_with_one_wrong_letter_gets_the_right_key_suggested(setting: Setting, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(setting.key) - 1))
    letter = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz_"))
    wrong = setting.key[:at] + letter + setting.key[at + data.draw(st.integers(0, 1)) :]
    assume(wrong not in {each.key for each in SETTINGS})
    assume(difflib.SequenceMatcher(None, wrong, setting.key).ratio() > 0.8)
    (fault,) = faults(f"[{setting.section}]\n{wrong} = 1")
    assert setting.key in fault.split("did you mean ")[1]


@pytest.mark.parametrize(
    ("section", "hint"),
    [
        ("databse", "did you mean [database]?"),
        ("Celery", "did you mean [celery]?"),
        ("dispatch", "did you mean [dispatcher]?"),
        ("DEFAULT", "the sections are [database], [celery], [dispatcher]"),
    ],
)
def test_unknown_section_is_one_fault_with_a_suggestion(section: str, hint: str) -> None:
    (fault,) = faults(f"[{section}]\nmax_attempts = 0\nother = 1")
    assert fault.startswith(f"[{section}]: ")
    assert hint in fault
    assert "/etc/d.ini" in fault


def test_keys_ignore_case_and_sections_do_not() -> None:
    assert settings("[dispatcher]\nMAX_Attempts = 4").dispatcher.max_attempts == 4


printable = st.text(st.characters(exclude_categories=("C", "Zs", "Zl", "Zp")), min_size=1)


@given(printable)
@example("%")
@example("%(peewee_url)s")
@example("%40%%${x}")
@example("a#b;c")
@example("дом/雪/é")
def test_percent_signs_and_unicode_in_values_survive(text: str) -> None:
    url = f"pyamqp://{text}/x"
    made = settings(f"[celery]\nbroker_url = {url}\nredis_password = {text}\n")
    assert made.celery["broker_url"] == url
    assert made.celery["redis_password"] == text
    assert settings(environ={"BROKER_URL": url}).celery["broker_url"] == url


@pytest.mark.parametrize("url", ["sqlite:///a#b.db", "sqlite:///a;b.db", "sqlite:///a ; b.db", "sqlite:///100%.db"])
def test_comment_characters_inside_a_value_are_literal(url: str) -> None:
    assert settings(f"[database]\npeewee_url = {url}").database.peewee_url == url


@given(printable, printable)
@example("/", "?#")
@example(":", "@@")
@example("'\"", '"')
def test_fault_never_shows_a_password(before: str, after: str) -> None:
    word = f"{before}S3CR3T{after}"
    url = f"nosuch://user:{word}@host:99999999/db"
    for found in (
        faults(f"[database]\npeewee_url = {url}\nnosuch = {url}\n{url}\n[nosuch]\npeewee_url = {url}"),
        faults(environ={"PEEWEE_URL": url, "BROKER_URL": f"{url}\n"}),
        faults(f"[database]\npeewee_url = postgresql://user:{word}@host:99999999/db\n[dispatcher]\ntasks = {url}"),
        faults(f"[celery]\nredis_pasword = {word}\nworker_concurrency = {url}"),
    ):
        assert "S3CR3T" not in "".join(found)


def test_masked_url_still_shows_user_host_and_database() -> None:
    (fault,) = faults(environ={"PEEWEE_URL": "postgres://jobs:secret@db.example.org:5432/dispatcher"})
    assert "= postgres://jobs:***@db.example.org:5432/dispatcher: " in fault


def test_repr_of_settings_shows_no_url() -> None:
    made = settings(environ={"PEEWEE_URL": "postgresql://u:S3CR3T@h/d", "BROKER_URL": "pyamqp://u:S3CR3T@h"})
    assert "S3CR3T" not in repr(made)
    assert "max_attempts=3" in repr(made)


def test_settings_cannot_be_changed() -> None:
    made = settings()
    with pytest.raises(ValidationError, match="frozen"):
        made.database.connect_attempts = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        made.celery["broker_url"] = "x"  # type: ignore[index]


def test_long_value_is_shortened_in_the_message() -> None:
    (fault,) = faults(f"[dispatcher]\nmax_attempts = {'9' * 5000}")
    assert len(fault) < 400


def test_schemes_are_those_of_the_store() -> None:
    from pacifica.dispatcher.store.connections import connect

    assert SCHEMES == connect.SCHEMES


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_is_accepted(scheme: str) -> None:
    url = f"{scheme}:///name"
    assert settings(environ={"PEEWEE_URL": url}).database.peewee_url == url


@given(st.text(min_size=1) | st.builds("postgresql://{}".format, st.text()))
@example("postgresql://[::1")
@example("postgresql://h:\uff11/d")
@example("sqlite:///\0")
@example("mysql://\u2100@h/d")
def test_any_text_as_database_url_is_accepted_or_reported_as_a_fault(text: str) -> None:
    environ = {"PEEWEE_URL": text}
    if text.partition(":")[0] in SCHEMES:
        with suppress(ConfigError):
            assert settings(environ=environ).database.peewee_url == text
    else:
        assert faults(environ=environ)[0].startswith("[database] peewee_url = ")


@pytest.mark.parametrize("sign", ["#", "/", "?"])
def test_characters_that_a_password_must_escape_are_named(sign: str) -> None:
    (fault,) = faults(environ={"PEEWEE_URL": f"postgresql://jobs:1{sign}2@host/jobs"})
    assert "in a password write %23 for #, %2F for /, %3F for ?, %40 for @" in fault
