"""How each Celery setting is read from text: Celery's own table, less what the dispatcher decides itself."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from celery.app.defaults import NAMESPACES, Option, flatten

from .value_kinds import TEXT, WORDS, YES_NO, Kind, choice, json_of, number, or_none, whole_number

_JSON = "messages and results are JSON, so that nothing is ever unpickled"
_RECORD = "a job's result is kept in its row, in [database]"
_OUTCOME = "each job's outcome is recorded"
_DELIVERY = "a message is acknowledged after its job ends, so that a killed worker loses none"
_WORKER = "a job is stored first, and then run by a worker"
_URL = "the broker is named by broker_url alone"
_PLAIN = "messages are not signed; protect the connection with broker_use_ssl"

OWNED: Mapping[str, str] = MappingProxyType(
    {
        "accept_content": _JSON,
        "broker_host": _URL,
        "broker_password": _URL,
        "broker_port": _URL,
        "broker_transport": _URL,
        "broker_user": _URL,
        "broker_vhost": _URL,
        "enable_utc": "all times are UTC",
        "event_serializer": _JSON,
        "result_accept_content": _JSON,
        "result_expires": "a job is kept until it is purged",
        "result_serializer": _JSON,
        "security_cert_store": _PLAIN,
        "security_certificate": _PLAIN,
        "security_digest": _PLAIN,
        "security_key": _PLAIN,
        "security_key_password": _PLAIN,
        "task_acks_late": _DELIVERY,
        "task_acks_on_failure": _DELIVERY,
        "task_acks_on_failure_or_timeout": _DELIVERY,
        "task_acks_on_timeout": _DELIVERY,
        "task_always_eager": _WORKER,
        "task_default_delivery_mode": "messages are persistent, as a sent one must outlive a restart of the broker",
        "task_eager_propagates": _WORKER,
        "task_ignore_result": _OUTCOME,
        "task_protocol": "messages are of Celery's protocol 2",
        "task_reject_on_worker_lost": _DELIVERY,
        "task_remote_tracebacks": _JSON,
        "task_retry_on_worker_lost": "[dispatcher] max_attempts says how often a job is started",
        "task_serializer": _JSON,
        "task_store_eager_result": _WORKER,
        "task_store_errors_even_if_ignored": _OUTCOME,
        "task_track_started": "a worker's claim of the row says that its job started",
    }
)
"""The settings that nobody may change, each with the reason."""

_BACKENDS = (
    *("arangodb_", "azureblockblob_", "cache_", "cassandra_", "cosmosdbsql_", "couchbase_", "database_"),
    *("elasticsearch_", "gcs_", "mongodb_", "redis_", "result_", "s3_"),
)
_CHORDS = ("result_chord_join_timeout", "result_chord_retry_interval")
_OWNED_OPTIONS = frozenset({"backend", "delivery_mode"}) | {
    name.removeprefix("task_") for name in OWNED if name.startswith("task_")
}
_OBJECT = json_of(dict, "an object")


def _refused(reason: str) -> Kind:
    def read(_text: str) -> Any:
        raise ValueError(f"cannot be set: {reason}")

    return Kind("left out", read)


def _read_per_task(text: str) -> Any:
    """What is refused as a setting is refused for one task, too."""
    value = _OBJECT.read(text)
    for name, options in value.items():
        owned = _OWNED_OPTIONS.intersection(options) if isinstance(options, dict) else ()
        if owned:
            raise ValueError(f"sets {', '.join(sorted(owned))} of {name}, which the dispatcher decides")
    return value


def _read_ssl(text: str) -> Any:
    return _OBJECT.read(text) if text.startswith("{") else YES_NO.read(text)


_PER_TASK = Kind("an object of options for each task, as JSON", _read_per_task)
_BY_TYPE: Mapping[Any, Kind] = {
    "bool": YES_NO,
    "dict": _OBJECT,
    "float": number(0),
    "int": whole_number(0),
    "list": WORDS,
    "str": TEXT,
    "string": TEXT,
    "tuple": WORDS,
    int: whole_number(0),
}
_SPECIAL: Mapping[str, Kind] = {
    "broker_connection_max_retries": or_none(whole_number(0)),
    "broker_heartbeat": or_none(whole_number(0)),
    "broker_heartbeat_checkrate": number(0),
    "broker_pool_limit": or_none(whole_number(0)),
    "broker_use_ssl": Kind("true, false, or an object of options as JSON", _read_ssl),
    "task_annotations": _PER_TASK,
    "task_default_priority": or_none(whole_number(0, 255)),
    "task_default_queue_type": choice("classic", "quorum"),
    "task_routes": _PER_TASK,
    "worker_concurrency": whole_number(1),
    "worker_prefetch_multiplier": whole_number(0),
}


def _kind(key: str, option: Option) -> Kind:
    if key in OWNED:
        return _refused(OWNED[key])
    if key.startswith(_BACKENDS) and key not in _CHORDS:
        return _refused(f"{_RECORD}; what is the broker's goes into broker_transport_options")
    if key in _SPECIAL:
        return _SPECIAL[key]
    kind = _BY_TYPE[option.type]
    return or_none(kind) if option.default is None and option.type in ("float", "int", int) else kind


CELERY_TYPES: Mapping[str, Kind] = MappingProxyType({key: _kind(key, option) for key, option in flatten(NAMESPACES)})
"""Every Celery setting, by its own name; one that is refused is here as well, with a reason as its error."""
