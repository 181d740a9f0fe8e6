"""Each setting in ``[celery]`` is converted to Celery's type, or refused with the reason."""

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten

from pacifica.dispatcher.config.celery_settings import OWNED, CelerySettings
from pacifica.dispatcher.config.parser import parse
from pacifica.dispatcher.core.errors import ConfigError


def read(key: str, text: str) -> object:
    indented = text.replace("\n", "\n  ")
    return parse(f"[celery]\n{key} = {indented}\n", {}, celery=CelerySettings).celery[key]


def fault(key: str, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(key, text)
    return str(caught.value)


def test_every_celery_setting_is_known() -> None:
    assert set(CelerySettings.model_fields) == {key for key, _ in flatten(NAMESPACES)}
    assert set(OWNED) <= set(CelerySettings.model_fields)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("worker_prefetch_multiplier", "4", 4),
        ("worker_concurrency", "2", 2),
        ("worker_send_task_events", "yes", True),
        ("worker_send_task_events", "OFF", False),
        ("worker_max_tasks_per_child", "100", 100),
        ("worker_max_tasks_per_child", "none", None),
        ("task_time_limit", "1.5", 1.5),
        ("task_soft_time_limit", "none", None),
        ("broker_connection_max_retries", "none", None),
        ("broker_pool_limit", "None", None),
        ("broker_heartbeat_checkrate", "2.5", 2.5),
        ("broker_heartbeat", "0", 0),
        ("beat_cron_starting_deadline", "60", 60),
        ("timezone", "Europe/Berlin", "Europe/Berlin"),
        ("worker_log_format", "%(asctime)s # %(message)s", "%(asctime)s # %(message)s"),
        ("imports", "one.tasks, two", ("one.tasks", "two")),
        ("broker_transport_options", '{"visibility_timeout": 60}', {"visibility_timeout": 60}),
        ("task_routes", '{\n"add": {"queue": "fast"}\n}', {"add": {"queue": "fast"}}),
        ("task_routes", '{"add": "fast"}', {"add": "fast"}),
        ("task_annotations", '{"*": {"rate_limit": "10/s"}}', {"*": {"rate_limit": "10/s"}}),
        ("task_queues", '{"fast": {"routing_key": "fast"}}', {"fast": {"routing_key": "fast"}}),
        ("broker_use_ssl", "true", True),
        ("broker_use_ssl", '{"ca_certs": "/ca.pem"}', {"ca_certs": "/ca.pem"}),
        ("task_default_priority", "5", 5),
        ("task_default_queue_type", "quorum", "quorum"),
        ("result_chord_retry_interval", "2", 2.0),
    ],
)
def test_setting_is_converted_to_its_type(key: str, text: str, value: object) -> None:
    read_value = read(key, text)
    assert read_value == value
    assert type(read_value) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "allowed"),
    [
        ("worker_prefetch_multiplier", "four", "must be a whole number, 0 or more"),
        ("worker_prefetch_multiplier", "none", "must be a whole number, 0 or more"),
        ("worker_concurrency", "0", "must be a whole number, 1 or more"),
        ("worker_send_task_events", "maybe", "must be true or false"),
        ("worker_send_task_events", "", "must be true or false"),
        ("task_time_limit", "-1", "must be a number, 0 or more, or none"),
        (
            "broker_transport_options",
            "visibility_timeout=3",
            "expected value at line 1 column 1; it must be an object",
        ),
        (
            "broker_transport_options",
            '{"a": 1,\n"b"}',
            "expected `:` at line 2 column 4; it must be",
        ),
        ("broker_transport_options", "[1]", "must be an object, as JSON"),
        ("broker_transport_options", "[" * 100_000, "recursion limit exceeded"),
        ("broker_use_ssl", "tls", "tls: must be true, false, or an object of options as JSON"),
        (
            "broker_use_ssl",
            '{"a"}',
            "expected `:` at line 1 column 5; it must be true, false, or an object of options as JSON",
        ),
        ("task_default_queue_type", "stream", "must be classic or quorum"),
        ("task_default_priority", "256", "must be a whole number from 0 to 255, or none"),
    ],
)
def test_value_of_another_type_is_refused(key: str, text: str, allowed: str) -> None:
    assert allowed in fault(key, text)


@pytest.mark.parametrize("key", sorted(OWNED))
def test_setting_that_the_dispatcher_owns_is_refused_with_the_reason(key: str) -> None:
    message = fault(key, "x")
    assert message.startswith(f"[celery] {key} = ")
    assert f"cannot be set: {OWNED[key]}; " in message
    assert "must be left out" in message


@pytest.mark.parametrize("key", ["redis_socket_timeout", "result_extended", "database_table_names"])
def test_settings_of_other_result_backends_are_refused(key: str) -> None:
    assert "a job's result is stored in its row" in fault(key, "1")


@pytest.mark.parametrize("key", ["task_annotations", "task_routes"])
@pytest.mark.parametrize("option", ["serializer", "acks_late", "ignore_result", "backend", "delivery_mode"])
def test_owned_option_is_refused_for_a_single_task(key: str, option: str) -> None:
    assert f"sets {option} of mine.add, which the dispatcher decides" in fault(
        key, f'{{"mine.add": {{"{option}": 1}}}}'
    )


def test_misspelt_setting_gets_the_right_one_suggested() -> None:
    assert "did you mean worker_concurrency" in fault("worker_concurency", "2")
    assert "did you mean task_time_limit" in fault("task_time_limits", "2")
    assert "worker_concurrency" in fault("celeryd_concurrency", "2")


def test_password_in_a_json_value_is_not_shown() -> None:
    message = fault("broker_transport_options", '{"sentinel_kwargs": {"password": "S3C R3T"},}')
    assert "S3C" not in message
    assert "R3T" not in message


def test_celery_accepts_the_converted_settings() -> None:
    text = """[celery]
broker_url = memory://
task_routes = {"mine.*": {"queue": "fast"}}
task_queues = {"fast": {"routing_key": "fast"}, "celery": {}}
worker_concurrency = 2
"""
    app = Celery(set_as_current=False)
    app.conf.update(parse(text, {}, celery=CelerySettings).celery)
    assert app.conf.worker_concurrency == 2
    assert app.amqp.router.route({}, "mine.add")["queue"].name == "fast"
    assert sorted(app.amqp.queues) == ["celery", "fast"]


def test_application_fixes_only_settings_that_are_refused() -> None:
    from pacifica.dispatcher.app import FIXED

    assert set(FIXED) <= set(OWNED)
