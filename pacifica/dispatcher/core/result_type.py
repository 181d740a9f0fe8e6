"""The type of a task's results: its JSON Schema, and the JSON values of results that fit it.

A result is written as the return annotation says, as ``/tasks`` promises. A value that does not fit is read as the
annotation if its JSON form allows it, such as a dict for a model; otherwise it is written by its own type, because
finished work must not be lost.
"""

import inspect
import json
import logging
from collections.abc import Iterable, Iterator
from types import GenericAlias
from typing import Any, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticSerializationError
from pydantic_core.core_schema import FloatSchema

from .json_values import EXACT, NotJson, check_keys, plain
from .strict_json import NON_FINITE
from .type_adapters import adapter_with

logger = logging.getLogger(__name__)

ANY = (Any, inspect.Signature.empty)
NOT_WRITTEN = (PydanticSerializationError, ValueError, TypeError, AttributeError)
"""The errors of pydantic for a value that does not fit, and those of a class's own serializer."""


class ResultType:
    """The return annotation of a function; raises pydantic's errors if it cannot be used."""

    def __init__(self, annotation: Any) -> None:
        annotation = _readable(annotation)
        self._exact = EXACT if annotation in ANY else frozenset({annotation} & EXACT) if _hashable(annotation) else ()
        """The types whose values need no conversion."""
        self._adapter = None if annotation in ANY else adapter_with(annotation, ConfigDict())
        self._schema: dict[str, Any] = {}
        if self._adapter is not None:
            self._schema = self._adapter.json_schema(mode="serialization", schema_generator=_ResultSchema)
        self.hides = '"password"' in json.dumps(self._schema)
        """The annotation hides a part of its values (``SecretStr``), so that no value is written without it."""
        self._warned = False

    def json_schema(self) -> dict[str, Any]:
        """A JSON Schema (2020-12) of the values; empty without an annotation."""
        return self._schema

    def jsonable(self, value: Any, task: str) -> Any:
        """The JSON value of a result of this task, whose numbers may be infinite; raises ``NotJson``."""
        if type(value) in self._exact:
            return value
        if self._adapter is None:
            return plain(value)
        if not check_keys(value):
            try:
                return self._write(self._adapter, value)
            except NOT_WRITTEN:
                pass
        return self._reread(self._adapter, value, task)

    @staticmethod
    def _write(adapter: TypeAdapter[Any], value: Any) -> Any:
        return adapter.dump_python(value, mode="json", by_alias=True, warnings="error", fallback=plain)

    def _reread(self, adapter: TypeAdapter[Any], value: Any, task: str) -> Any:
        """Write a value that does not fit the annotation, or can be read only once."""
        own = plain(value)
        try:
            return self._write(adapter, adapter.validate_json(json.dumps(own), strict=True))
        except (*NOT_WRITTEN, ValidationError, RecursionError) as error:
            if self.hides:
                reason = "does not fit the return annotation, which hides secrets; it is therefore not stored as it is"
                raise NotJson(reason) from error
        if not self._warned:
            self._warned = True
            logger.warning(
                "A result of task %s does not fit the return annotation, so it is stored by its own type, %s. "
                "Correct the annotation: /tasks and /openapi.json promise it to clients. "
                "This process logs it once for each task.",
                task,
                type(value).__qualname__,
            )
        return own


class _ResultSchema(GenerateJsonSchema):
    """The schemas of results, in which the numbers that JSON does not have are texts."""

    def float_schema(self, schema: FloatSchema) -> JsonSchemaValue:
        number = super().float_schema(schema)
        if schema.get("allow_inf_nan") is False:
            return number
        return {"anyOf": [number, {"enum": list(NON_FINITE)}]}


def _readable(annotation: Any) -> Any:
    """``Iterator[X]``, which pydantic does not have, as ``Iterable[X]``."""
    if annotation is not Iterator and get_origin(annotation) is not Iterator:
        return annotation
    return GenericAlias(Iterable, get_args(annotation) or (Any,))


def _hashable(annotation: Any) -> bool:
    try:
        hash(annotation)
    except TypeError:
        return False
    return True
