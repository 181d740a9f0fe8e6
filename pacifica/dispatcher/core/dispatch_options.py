"""The options of a dispatch: when, in which queue and with which priority a job runs."""

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
from .name_limits import MAX_NAME
from .queue_names import QueueNames


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("Input should be between the years 1 and 9999, in UTC") from None


UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with an offset, converted to UTC."""
ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _check_queue(name: str) -> str:
    if name.startswith(RESERVED_QUEUES):
        raise ValueError(f"a queue's name must not begin with {', '.join(RESERVED_QUEUES)}, which brokers reserve")
    return name


RESERVED_QUEUES = ("amq.", "_kombu", "unacked")
QueueName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME, pattern=r"^[A-Za-z0-9._:-]+$"),
    AfterValidator(_check_queue),
    WithJsonSchema({"type": "string", "maxLength": MAX_NAME, "pattern": r"^(?!amq\.|_kombu|unacked)[A-Za-z0-9._:-]+$"}),
]
Duration = Annotated[float, Field(ge=0, le=366 * 24 * 3600)]


MAX_LABELS = 16
LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}", re.ASCII)


def _check_label_name(name: str) -> str:
    if not LABEL_NAME.fullmatch(name):
        raise ValueError("a label's name has 1 to 63 letters, digits and . _ / -, and begins with a letter or digit")
    return name


def _check_label_value(value: str) -> str:
    if len(value) > MAX_NAME or not value.isprintable():
        raise ValueError(f"a label's value has at most {MAX_NAME} characters, all of them printable")
    return value


LabelName = Annotated[str, AfterValidator(_check_label_name)]
LabelValue = Annotated[str, AfterValidator(_check_label_value)]
LABELS_SCHEMA = {
    "type": "object",
    "maxProperties": MAX_LABELS,
    "propertyNames": {"type": "string", "pattern": f"^{LABEL_NAME.pattern}$"},
    "additionalProperties": {
        "type": "string",
        "maxLength": MAX_NAME,
        "pattern": r"^[^\u0000-\u001f\u007f-\u00a0\u00ad]*$",
    },
}
"""The schema of labels; JSON Schema cannot express which characters are printable in Unicode."""
ONE_START = {"anyOf": [{"properties": {name: {"type": "null"}}} for name in ("countdown", "eta")]}


def _complete_schema(schema: dict[str, Any]) -> None:
    """Add the rules that pydantic cannot derive from the fields."""
    schema["properties"]["labels"]["anyOf"][0] = LABELS_SCHEMA
    schema.update(ONE_START)


class DispatchOptions(BaseModel):
    """The options of one job; a time is ISO 8601 with an offset, and a number is seconds from now."""

    model_config = ConfigDict(
        title="Options", extra="forbid", frozen=True, strict=True, json_schema_extra=_complete_schema
    )

    queue: QueueName | None = None
    priority: Annotated[int, Field(ge=0, le=9)] | None = None
    countdown: Duration | None = None
    eta: UtcTime | None = None
    expires: UtcTime | Duration | None = None
    max_attempts: Annotated[int, Field(ge=1, le=1000)] | None = None
    labels: Annotated[dict[LabelName, LabelValue], Field(max_length=MAX_LABELS)] | None = None

    @model_validator(mode="after")
    def _one_start(self) -> "DispatchOptions":
        if self.countdown is not None and self.eta is not None:
            raise ValueError("countdown and eta cannot be used together")
        return self

    def start(self, now: datetime) -> datetime | None:
        """The earliest start of the job; ``None`` means at once."""
        if self.countdown is not None:
            return now + timedelta(seconds=self.countdown)
        return self.eta

    def end(self, now: datetime) -> datetime | None:
        """The time at which the job expires; ``None`` means never."""
        if isinstance(self.expires, datetime):
            return self.expires
        return now + timedelta(seconds=self.expires) if self.expires is not None else None


DEFAULT_OPTIONS = DispatchOptions()
"""The options of a dispatch without options."""


OPTION_NAMES = ", ".join(DispatchOptions.model_fields)


def parse_options(
    given: Mapping[str, Any], queues: QueueNames | None = None, *, describe: bool = True
) -> DispatchOptions:
    """The options in a JSON object; raises ``BadOptions``, which names every option that is not valid if ``describe``.

    ``queues`` are those that the object may name; ``None`` allows any.
    """
    if not given:
        return DEFAULT_OPTIONS
    _refuse_number(given)
    _refuse_digits(given)
    text = _text(given)
    options = _naming_faults(lambda: DispatchOptions.model_validate_json(text), describe=describe)
    if queues is not None:
        queues.check(options.queue)
    return options


def checked_options(**given: Any) -> DispatchOptions:
    """The options passed by Python code; raises ``BadOptions``, which names every option that is not valid."""
    return _naming_faults(lambda: DispatchOptions(**given))


def _naming_faults(make: Callable[[], DispatchOptions], *, describe: bool = True) -> DispatchOptions:
    try:
        return make()
    except ValidationError as error:
        if not describe:
            raise BadOptions([Fault("options", "are not valid")]) from None
        faults: dict[str, list[str]] = {}
        for fault in error.errors(include_url=False, include_context=False):
            named = fault["loc"][: 2 if fault["loc"][:1] == ("labels",) else 1]
            where = ".".join(str(part) for part in named) or "options"
            unknown = f"is not an option; the options are {OPTION_NAMES}"
            message = unknown if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
            faults.setdefault(where, []).append(message)
        raise BadOptions([Fault(where, ", or ".join(texts)) for where, texts in faults.items()]) from None


MAX_OPTIONS = 2 * len(DispatchOptions.model_fields)
"""With more options than this, a single fault is reported, because naming each would cost too much."""


def _text(given: Mapping[str, Any]) -> str:
    try:
        return strict_json.dumps(given)
    except ValueError as error:
        raise BadOptions([Fault("options", str(error))]) from None


def _refuse_number(given: Mapping[str, Any]) -> None:
    """Refuse too many options or labels with one fault, before they are read."""
    labels = given.get("labels")
    if len(given) > MAX_OPTIONS:
        raise BadOptions([Fault("options", f"there are {len(given)}; the only options are {OPTION_NAMES}")])
    if isinstance(labels, dict) and len(labels) > MAX_LABELS:
        raise BadOptions([Fault("labels", f"there are {len(labels)}; a job has at most {MAX_LABELS}")])


def _refuse_digits(given: Mapping[str, Any]) -> None:
    """Refuse a time that is a number in quotes, which pydantic would read as seconds since 1970."""
    faults = [
        Fault(name, "should be ISO 8601, such as 2026-01-31T12:00:00Z")
        for name in ("eta", "expires")
        if isinstance(value := given.get(name), str) and not ISO_DATE.match(value)
    ]
    if faults:
        raise BadOptions(faults)
