"""The type of one argument: reads JSON values and the text of a URL by the annotation, with pydantic."""

import json
import logging
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from . import strict_json, value_faults
from .arguments import adapter_of, json_text
from .text_values import possible_values
from .value_faults import ValueFaults, of_value
from .value_guards import (
    NUMBER_AS_TEXT,
    REFUSE_NAIVE,
    changed,
    guarded,
    non_finite,
    number_as_text,
    validator_of,
)

logger = logging.getLogger(__name__)

MAX_PASSES = 4
"""How often a value is read again after numbers in it have become text; each pass may reach further values."""

NOT_DESCRIBED = of_value("not_described", "is not valid")
LOGGED = "the log of the service has the details"


class AcceptedValue(NamedTuple):
    """A JSON value that fits an annotation, its text, and the Python value that the function is given.

    The JSON value is the given one, except that a number for a ``Decimal`` or ``Fraction`` is a text of its digits.
    """

    value: Any
    text: str
    loaded: Any


class ArgumentType:
    """The annotation of an argument; ``label`` names the argument in the log."""

    def __init__(self, annotation: Any, label: str) -> None:
        self.adapter: TypeAdapter[Any] = adapter_of(annotation)
        self._label = label
        schema = dict(self.adapter.core_schema)  # Builds the schema of a model with ``defer_build``.
        self._schema = guarded(schema)
        guards = self._schema is not schema
        self._validator: Any = validator_of(self._schema) if guards else self.adapter.validator
        self._context = REFUSE_NAIVE if guards else None

    @cached_property
    def _of_python(self) -> Any:
        """The validator of values from Python, whose numbers may be infinite."""
        return validator_of(self._schema, non_finite=True)

    def accept(  # noqa: PLR0913 - the last two are for its own next pass
        self,
        value: Any,
        text: str,
        *,
        naive: bool = False,
        describe: bool = True,
        passes: int = MAX_PASSES,
        as_floats: str = "",
    ) -> AcceptedValue | ValueFaults:
        """Read a JSON value, or describe what is wrong with it; ``text`` is the value's ``json_text``.

        ``naive``: the value comes from Python or from a row. A ``datetime`` without an offset is then in UTC, and the
        texts of ``strict_json.NON_FINITE`` may stand for a ``float``. Without ``describe``, the fault is only that the
        value is not valid.
        """
        validator = self._of_python if as_floats else self._validator
        try:
            loaded = validator.validate_json(as_floats or text, strict=True, context=None if naive else self._context)
            return AcceptedValue(value, text, loaded)
        except ValidationError as error:
            failure = error
        except (Exception, SystemExit) as error:
            if describe:
                logger.exception("A validator of %s raised an exception; the value is refused.", self._label)
            return of_value("validator", f"its validator failed with {type(error).__name__}; {LOGGED}")
        if not text:
            return _without_text(value)
        places = value_faults.paths(failure, value, NUMBER_AS_TEXT) if self._context and passes else ()
        if places:
            value = changed(value, places, number_as_text)
            return self.accept(value, json_text(value), naive=naive, describe=describe, passes=passes - 1)
        floats = _with_floats(failure, value) if naive and passes and not as_floats else ""
        if floats:
            return self.accept(value, text, naive=naive, describe=describe, passes=passes - 1, as_floats=floats)
        return value_faults.describe(self._schema, value, text, failure) if describe else NOT_DESCRIBED

    def read(self, text: str) -> AcceptedValue | ValueFaults:
        """Return the likeliest value of a URL's text that fits the annotation, or describe what is wrong."""
        found: list[ValueFaults] = []
        for value in possible_values(text):
            accepted = self.accept(value, json_text(value))
            if isinstance(accepted, AcceptedValue):
                return accepted
            found.append(accepted)
        # A fault of the value, or of a place in it, is more helpful than a wrong type.
        return next((faults for faults in found if not faults.places[0].wrong_type), found[0])


def _with_floats(failure: ValidationError, value: Any) -> str:
    """A JSON text with NaN and infinity for those texts that failed as a ``float``; empty if there are none."""
    places = value_faults.paths(failure, value, "float_type")
    floats = changed(value, places, non_finite) if places else value
    return "" if floats == value else json.dumps(floats)


def _without_text(value: Any) -> ValueFaults:
    try:
        strict_json.dumps(value)
    except ValueError as error:
        return of_value("json", str(error))
    raise AssertionError("a value with a JSON text came without it")
