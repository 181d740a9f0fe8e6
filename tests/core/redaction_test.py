"""Redaction of secrets in log lines, configuration texts and URLs."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pacifica.dispatcher.core.redaction import mask, mask_passwords, mask_value, names_a_secret, without_login

printable = st.text(st.characters(exclude_categories=("C", "Zs", "Zl", "Zp")), min_size=1)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Basic\tc2VzYW1l", "Basic\t***"),
        ("bearer \x00\x1fsesame", "bearer \x00\x1f***"),
        ("Basic%09sesame", "Basic%09***"),
        ("?access_token=sesame&x=1", "?access_token=***&x=1"),
        ("the token pd_abcdsesame is unknown", "the token pd_abcd*** is unknown"),
        ("amqp://u:sesame@host// refused", "amqp://u:***@host// refused"),
        ("redis://:p/ses@me/sesame@host,amqp://u:sesame@host", "redis://:***@host"),
    ],
)
def test_tokens_credentials_and_url_passwords_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text", ["http://host:8080/dispatch of user:ada by celery@lab", "amqp://u@host", "mail ada@example.org at 12:30"]
)
def test_texts_without_a_secret_stay_unchanged(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize("key", ["password", "redis_PASSWD", "dbpwd", "client_secret", "apiToken", "Authorization"])
def test_key_that_names_a_secret_is_recognized(key: str) -> None:
    assert names_a_secret(key)
    assert mask_value(key, "any words at all") == "***"


@pytest.mark.parametrize("key", ["path", "task", "passage", "worker_concurrency"])
def test_other_keys_are_not_secret(key: str) -> None:
    assert not names_a_secret(key)
    assert mask_value(key, "any words at all") == "any words at all"


@pytest.mark.parametrize(
    ("urls", "masked"),
    [
        ("amqp://u:pw@h//;redis://:pw2@h", "amqp://u:***@h//;redis://:***@h"),
        ("redis://h:6379/0;amqp://u:p;w@h/v", "redis://h:6379/0;amqp://u:***@h/v"),
        ("sentinel://:p@w@a:1;sentinel://:pw@b:2", "sentinel://:***@a:1;sentinel://:***@b:2"),
    ],
)
def test_each_url_of_a_broker_list_is_masked_separately(urls: str, masked: str) -> None:
    assert mask_value("broker_url", urls) == masked
    assert mask_value("redis_password", urls) == "***"


def test_passwords_within_a_configuration_text_are_masked() -> None:
    assert mask_passwords('{"password": "S3C R3T", "x": 1}') == '{"password": ***, "x": 1}'
    assert mask_passwords("x = 1\nPASSWD: S3CR3T") == "x = 1\nPASSWD: ***"


@given(printable, printable)
@example("/", "?#")
@example(":", "@@")
@example("'\"", '"')
def test_no_password_of_a_url_survives(before: str, after: str) -> None:
    assert "S3CR3T" not in mask_passwords(f"nosuch://user:{before}S3CR3T{after}@host:99999999/db")


@pytest.mark.parametrize("part", ["a", ":", "//", "//:", "password", "password ", "@//:", ";amqp://"])
def test_long_configuration_text_is_masked_in_linear_time(part: str) -> None:
    assert mask_value("x", f"{part * 20_000} secret=S3CR3T").endswith(" secret=***")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://joe:s3cret@host:8050/x@y", "http://host:8050/x@y"),
        ("http://t0ken@host", "http://host"),
        ("host/path", "host/path"),
    ],
)
def test_url_is_shown_without_its_login(url: str, shown: str) -> None:
    assert without_login(url) == shown
