"""A request may name declared queues, and those that match a pattern."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pacifica.dispatcher.core.dispatch_options import DispatchOptions, parse_options
from pacifica.dispatcher.core.errors import BadOptions
from pacifica.dispatcher.core.queue_names import QueueNames
from pacifica.dispatcher.web.openapi.schemas import options_schema

NAMES = QueueNames(["slow", "dispatcher"], ["lab.*", "run-?"])
ALLOWED = ["slow", "dispatcher", "lab.", "lab.a.b", "run-1", None]
REFUSED = ["fast", "slow2", "lab", "labs.a", "run-", "run-12", "SLOW", "xlab.a"]


@pytest.mark.parametrize("name", ALLOWED)
def test_declared_queue_is_accepted(name: str | None) -> None:
    assert parse_options({"queue": name, "priority": 1}, NAMES) == DispatchOptions(queue=name, priority=1)


@pytest.mark.parametrize("name", REFUSED)
def test_other_queue_is_refused_with_the_list(name: str) -> None:
    expected = (
        "The options cannot be used: queue: is not a queue of this service, which has dispatcher, slow, lab.*, run-?; "
        "[dispatcher] queues can allow others."
    )
    with pytest.raises(BadOptions, match=re.escape(expected)):
        parse_options({"queue": name}, NAMES)


@pytest.mark.parametrize("name", ["a\nb", "lab.\n", "lab. x", "_kombu.x", "amq.x", "x" * 192])
def test_pattern_allows_no_name_that_a_queue_cannot_have(name: str) -> None:
    with pytest.raises(BadOptions):
        parse_options({"queue": name}, QueueNames([], ["*"]))


def test_schema_accepts_the_same_names() -> None:
    validator: Any = Draft202012Validator(options_schema(NAMES))
    assert [name for name in [*ALLOWED, *REFUSED] if validator.is_valid({"queue": name})] == ALLOWED
