"""The options of a dispatch: when, where and how urgently a job is to run."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from . import strict_json
from .errors import BadOptions
from .faults import Fault


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("Input should be between the years 1 and 9999, in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time that is one in UTC, too."""
ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _queue_of_a_user(name: str) -> str:
    if name.startswith(RESERVED_QUEUES):
        raise ValueError(
            f"a queue's name may not begin with {', '.join(RESERVED_QUEUES)}, which brokers keep for themselves"
        )
    return name


RESERVED_QUEUES = ("amq.", "_kombu", "unacked")
QueueName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=191, pattern=r"^[A-Za-z0-9._:-]+$"),
    AfterValidator(_queue_of_a_user),
    WithJsonSchema({"type": "string", "maxLength": 191, "pattern": r"^(?!amq\.|_kombu|unacked)[A-Za-z0-9._:-]+$"}),
]
Seconds = Annotated[float, Field(ge=0, le=366 * 24 * 3600)]


MOST_LABELS = 16
LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}", re.ASCII)


def _label_name(name: str) -> str:
    if not LABEL_NAME.fullmatch(name):
        raise ValueError("a label's name has 1 to 63 letters, digits and . _ / -, and begins with a letter or digit")
    return name


def _label_value(value: str) -> str:
    if len(value) > 191 or not value.isprintable():
        raise ValueError("a label's value has at most 191 characters, all of them printable")
    return value


LabelName = Annotated[str, AfterValidator(_label_name)]
LabelValue = Annotated[str, AfterValidator(_label_value)]
LABELS_SCHEMA = {
    "type": "object",
    "maxProperties": MOST_LABELS,
    "propertyNames": {"type": "string", "pattern": f"^{LABEL_NAME.pattern}$"},
    "additionalProperties": {"type": "string", "maxLength": 191, "pattern": r"^[^\u0000-\u001f\u007f-\u00a0\u00ad]*$"},
}
"""What a schema can say of labels; which signs are printable is Unicode's to tell."""
ONE_START = {"anyOf": [{"properties": {name: {"type": "null"}}} for name in ("countdown", "eta")]}


def _told_exactly(schema: dict[str, Any]) -> None:
    """Add to the schema of the options what is a rule of several of them."""
    schema["properties"]["labels"]["anyOf"][0] = LABELS_SCHEMA
    schema.update(ONE_START)


class DispatchOptions(BaseModel):
    """What a client may say of a job beside its arguments; times are ISO 8601 with an offset, or seconds from now."""

    model_config = ConfigDict(
        title="Options", extra="forbid", frozen=True, strict=True, json_schema_extra=_told_exactly
    )

    queue: QueueName | None = None
    priority: Annotated[int, Field(ge=0, le=9)] | None = None
    countdown: Seconds | None = None
    eta: Moment | None = None
    expires: Moment | Seconds | None = None
    max_attempts: Annotated[int, Field(ge=1, le=1000)] | None = None
    labels: Annotated[dict[LabelName, LabelValue], Field(max_length=MOST_LABELS)] | None = None

    @model_validator(mode="after")
    def _one_start(self) -> "DispatchOptions":
        if self.countdown is not None and self.eta is not None:
            raise ValueError("countdown and eta exclude each other")
        return self

    def start(self, now: datetime) -> datetime | None:
        """When the job is to start at the earliest; ``None`` for at once."""
        if self.countdown is not None:
            return now + timedelta(seconds=self.countdown)
        return self.eta

    def end(self, now: datetime) -> datetime | None:
        """When the job is not worth starting any more; ``None`` for never."""
        if isinstance(self.expires, datetime):
            return self.expires
        return now + timedelta(seconds=self.expires) if self.expires is not None else None


DEFAULT_OPTIONS = DispatchOptions()
"""What is said of a job by who says nothing."""


def parse_options(given: Mapping[str, Any]) -> DispatchOptions:
    """The options of a JSON object; raises ``BadOptions`` naming each that cannot be used."""
    if not given:
        return DEFAULT_OPTIONS
    _refuse_number(given)
    _refuse_digits(given)
    text = _text(given)
    return _named(lambda: DispatchOptions.model_validate_json(text))


def options_of(**given: Any) -> DispatchOptions:
    """The options that Python code gives; raises ``BadOptions`` naming each that cannot be used."""
    return _named(lambda: DispatchOptions(**given))


def _named(make: Callable[[], DispatchOptions]) -> DispatchOptions:
    try:
        return make()
    except ValidationError as error:
        faults: dict[str, list[str]] = {}
        for fault in error.errors(include_url=False, include_context=False):
            named = fault["loc"][: 2 if fault["loc"][:1] == ("labels",) else 1]
            where = ".".join(str(part) for part in named) or "options"
            unknown = f"is not an option; they are {', '.join(DispatchOptions.model_fields)}"
            told = unknown if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
            faults.setdefault(where, []).append(told)
        raise BadOptions([Fault(where, ", or ".join(texts)) for where, texts in faults.items()]) from None


MOST_OPTIONS = 2 * len(DispatchOptions.model_fields)
"""Beyond it they are not even looked at, to name what is wrong with each."""


def _text(given: Mapping[str, Any]) -> str:
    try:
        return strict_json.dumps(given)
    except ValueError as error:
        raise BadOptions([Fault("options", str(error))]) from None


def _refuse_number(given: Mapping[str, Any]) -> None:
    """Too many to be read one by one; a fault of each would cost more than it tells."""
    labels = given.get("labels")
    if len(given) > MOST_OPTIONS:
        raise BadOptions(
            [Fault("options", f"are {len(given)}; there are only {', '.join(DispatchOptions.model_fields)}")]
        )
    if isinstance(labels, dict) and len(labels) > MOST_LABELS:
        raise BadOptions([Fault("labels", f"are {len(labels)}; a job has at most {MOST_LABELS}")])


def _refuse_digits(given: Mapping[str, Any]) -> None:
    """A number in quotes is no time, though pydantic takes it for the seconds since 1970."""
    faults = [
        Fault(name, "should be ISO 8601, such as 2026-01-31T12:00:00Z")
        for name in ("eta", "expires")
        if isinstance(value := given.get(name), str) and not ISO_DATE.match(value)
    ]
    if faults:
        raise BadOptions(faults)
