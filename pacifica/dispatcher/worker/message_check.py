"""The check of a delivered message before Celery reads it: protocol 2, with headers of the right types.

Celery trusts a message: a body that is a text, or a time limit that is a word, ends the worker's main process.
Source: https://docs.celeryq.dev/en/stable/internals/protocol.html#version-2
"""

import re
from datetime import UTC
from typing import Annotated, Any

from celery.utils.time import maybe_iso8601
from kombu.exceptions import ContentDisallowed
from kombu.message import Message
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..core.job import micros


def _is_moment(text: str) -> str:
    try:
        moment = maybe_iso8601(text)
        if moment is not None:
            micros(moment if moment.tzinfo is None else moment.astimezone(UTC))
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise ValueError("it must be a date and time in ISO 8601") from None
    return text


def _is_uuid(text: str) -> str:
    if not UUID.fullmatch(text):
        raise ValueError("it must be a UUID in lower case, as Celery makes it")
    return text


UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The ids that Celery makes; ``core.job.parse_uuid`` also reads other forms."""
OWN_FIELDS = {"_children", "claim", "raised", "replaced", "reporter", "requested_retry", "retry_columns"}
OWN_FIELDS |= {"log_bound", "stated", "unclaimed", "wanted_retry"}
"""A request's fields for the state of an attempt, beside ``dispatcher_…``: Celery makes a field of each header."""
Limit = Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
Number = Annotated[int, Field(ge=0, le=2**30)] | None
Moment = Annotated[str, AfterValidator(_is_moment)] | None
Name = Annotated[str, Field(min_length=1, max_length=191, pattern=r"^[^\x00-\x1f\x7f]+$")]


class MessageHeaders(BaseModel):
    """The headers that Celery reads; others are passed to the task as they are."""

    model_config = ConfigDict(strict=True)
    id: Annotated[str, AfterValidator(_is_uuid)]
    task: Name
    retries: Number = None
    retries_before: Annotated[int, Field(ge=0, le=2**30)] = 0
    eta: Moment = None
    expires: Moment = None
    timelimit: Annotated[list[Limit], Field(min_length=2, max_length=2)] | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: Number = None
    shadow: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    origin: str | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: Number = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None
    traceparent: str | None = None
    request_id: str | None = None


class MessageSignature(BaseModel):
    """A call that a message embeds, as Celery's canvas writes it."""

    model_config = ConfigDict(strict=True)
    task: Name
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    options: dict[str, Any] | None = None
    subtask_type: str | None = None
    immutable: bool | None = None


class MessageEmbed(BaseModel):
    """The third part of a body. Celery adds its members to the request, so no other names are accepted."""

    model_config = ConfigDict(strict=True, extra="forbid")
    callbacks: list[MessageSignature] | None = None
    errbacks: list[MessageSignature] | None = None
    chain: list[MessageSignature] | None = None
    chord: MessageSignature | None = None


class MessageParts(BaseModel):
    """A message without its properties."""

    model_config = ConfigDict(strict=True)
    headers: MessageHeaders
    properties: dict[str, Any]
    delivery_info: dict[str, Any]
    args: list[Any]
    kwargs: dict[str, Any]
    embed: MessageEmbed | None


def fault_of(message: Message) -> str | None:
    """The fault of a message, as a clause; ``None`` if Celery can read it."""
    headers = message.headers
    if not isinstance(headers, dict) or "task" not in headers:
        return "it has no header task, so it is not a message of Celery's protocol 2 (task_protocol = 2)"
    if taken := [name for name in headers if name in OWN_FIELDS or name.startswith("dispatcher_")]:
        return f"the worker itself uses the name of its header {taken[0]}; the sender must give that another name"
    return _body_fault(message)


def _body_fault(message: Message) -> str | None:
    try:
        payload = message.payload
    except Exception as error:  # noqa: BLE001 - a decompressor, a codec or a parser raises it, and bytes are anything
        if isinstance(error, ContentDisallowed):  # kombu raises it before a deserializer sees the body.
            return f"its content type {message.content_type!r:.80} is not read, only JSON is (task_serializer = 'json')"
        return f"its body cannot be decoded ({type(error).__name__})"
    if not isinstance(payload, list) or len(payload) != 3:
        return "its body is not a list of arguments, keyword arguments and callbacks"
    args, kwargs, embed = payload
    try:
        MessageParts.model_validate(
            {
                "headers": message.headers,
                "properties": message.properties,
                "delivery_info": message.delivery_info,
                "args": args,
                "kwargs": kwargs,
                "embed": embed,
            }
        )
    except (ValidationError, RecursionError) as error:
        return _clause(error)
    return None


def _clause(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "its body is nested too deeply"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"its {where} cannot be used: {first['msg'].removeprefix('Value error, ')}"


def names_a_job_only(message: Message) -> bool:
    """Whether this is a message of the relay: it names a job, and the arguments are in the job's row.

    A message of Celery's own producer carries its arguments, or a text of them and its origin in the headers.
    """
    args, kwargs, _ = message.payload
    headers = message.headers
    foreign = headers.get("lang", "py") != "py"  # Clients in other languages may send none of the three below.
    return not args and not kwargs and not foreign and not {"argsrepr", "kwargsrepr", "origin"} & headers.keys()
