"""The section ``[celery]``: every setting of Celery's own table, by Celery's types.

The model also has the settings that the dispatcher decides itself; these refuse every value, with the reason.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from celery.app.defaults import NAMESPACES, Option, flatten
from pydantic import AfterValidator, Discriminator, Field, Tag, create_model

from .settings import BrokerSettings
from .value_types import DECIMAL, DIGITS, NONE_WORD, JsonObject, Line, Words, YesNo, allowed, of_text

_RECORD = "a job's result is stored in its row, in [database]"
_KEYS_BY_REASON: Mapping[str, str] = {
    "messages and results are JSON, so that nothing is unpickled": """
        accept_content event_serializer result_accept_content result_serializer task_remote_tracebacks task_serializer
    """,
    "only broker_url names the broker": """
        broker_host broker_password broker_port broker_transport broker_user broker_vhost
    """,
    "messages are not signed; protect the connection with broker_use_ssl": """
        security_cert_store security_certificate security_digest security_key security_key_password
    """,
    "a message is acknowledged after its job has ended, so that a killed worker loses no job": """
        task_acks_late task_acks_on_failure task_acks_on_failure_or_timeout task_acks_on_timeout
        task_reject_on_worker_lost
    """,
    "a job is stored first, and a worker runs it": "task_always_eager task_eager_propagates task_store_eager_result",
    "the outcome of each job is recorded": "task_ignore_result task_store_errors_even_if_ignored",
    "a job is kept until it is purged": "result_expires",
    "all times are UTC": "enable_utc",
    "messages are persistent, so that they survive a restart of the broker": "task_default_delivery_mode",
    "messages use Celery's protocol 2": "task_protocol",
    "[dispatcher] max_attempts limits how many times a job is started": "task_retry_on_worker_lost",
    "a worker's claim of the row records that its job has started": "task_track_started",
    "the dispatcher's own consumer refuses messages that would end a worker": "worker_consumer",
    "a worker fits its prefetch to the time that jobs take": "worker_enable_prefetch_count_reduction",
}
OWNED: Mapping[str, str] = {key: reason for reason, keys in _KEYS_BY_REASON.items() for key in keys.split()}
"""The settings that cannot be changed, with the reasons."""

_BACKENDS = (
    *("arangodb_", "azureblockblob_", "cache_", "cassandra_", "cosmosdbsql_", "couchbase_", "database_"),
    *("elasticsearch_", "gcs_", "mongodb_", "redis_", "result_", "s3_"),
)
_CHORDS = ("result_chord_join_timeout", "result_chord_retry_interval")
_OWNED_OPTIONS = frozenset({"backend", "delivery_mode"}) | {
    name.removeprefix("task_") for name in OWNED if name.startswith("task_")
}


def _refused(reason: str) -> Any:
    def refuse(_text: str) -> None:
        raise ValueError(f"cannot be set: {reason}")

    return Annotated[Any, of_text(refuse), allowed("left out")]


def _check_per_task(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse options of single tasks that cannot be changed for all tasks either."""
    for name, options in value.items():
        owned = _OWNED_OPTIONS.intersection(options) if isinstance(options, dict) else ()
        if owned:
            raise ValueError(f"sets {', '.join(sorted(owned))} of {name}, which the dispatcher decides")
    return value


_Count = Annotated[int, Field(ge=0), DIGITS]
_Number = Annotated[float, Field(ge=0), DECIMAL]
_PerTask = Annotated[
    JsonObject, AfterValidator(_check_per_task), allowed("an object of options for each task, as JSON")
]
_YesNoOrObject = Annotated[
    Annotated[JsonObject, Tag("object")] | Annotated[YesNo, Tag("word")],
    Discriminator(lambda text: "object" if text.startswith("{") else "word"),
    allowed("true, false, or an object of options as JSON"),
]
_BY_TYPE: Mapping[Any, Any] = {
    "bool": YesNo,
    "dict": JsonObject,
    "float": _Number,
    "int": _Count,
    "list": Words,
    "str": Line,
    "string": Line,
    "tuple": Words,
    int: _Count,
}
_SPECIAL: Mapping[str, Any] = {
    "broker_connection_max_retries": Annotated[_Count | None, NONE_WORD],
    "broker_heartbeat": Annotated[_Count | None, NONE_WORD],
    "broker_heartbeat_checkrate": _Number,
    "broker_pool_limit": Annotated[_Count | None, NONE_WORD],
    "broker_use_ssl": _YesNoOrObject,
    "task_annotations": _PerTask,
    "task_default_priority": Annotated[Annotated[int, Field(ge=0, le=255), DIGITS] | None, NONE_WORD],
    "task_default_queue_type": Literal["classic", "quorum"],
    "task_routes": _PerTask,
    "worker_concurrency": Annotated[int, Field(ge=1), DIGITS],
    "worker_prefetch_multiplier": _Count,
}


def _type(key: str, option: Option) -> Any:
    if key in OWNED:
        return _refused(OWNED[key])
    if key.startswith(_BACKENDS) and key not in _CHORDS:
        return _refused(f"{_RECORD}; write options of the broker into broker_transport_options")
    if key in _SPECIAL:
        return _SPECIAL[key]
    kind = _BY_TYPE[option.type]
    return (
        Annotated[kind | None, NONE_WORD] if option.default is None and option.type in ("float", "int", int) else kind
    )


_FIELDS: Mapping[str, Any] = {
    key: (_type(key, option), Field(None, validate_default=False))
    for key, option in flatten(NAMESPACES)
    if key != "broker_url"
}
CelerySettings = create_model("CelerySettings", __base__=BrokerSettings, **_FIELDS)
"""Every setting of Celery by its own name; only those that are given are passed to Celery."""
