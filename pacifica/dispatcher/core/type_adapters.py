"""pydantic's adapters of annotations, with ``bytes`` as base64."""

from typing import Any, NewType

from pydantic import ConfigDict, EncodedBytes, PydanticUserError, TypeAdapter

BASE64 = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


def adapter_with(annotation: Any, config: ConfigDict) -> TypeAdapter[Any]:
    """The adapter of an annotation; ``bytes`` in JSON are base64, unless the annotation names an encoding itself."""
    adapter = _adapter(annotation, {**config, **BASE64})
    # pydantic's Base64Bytes and its kind would be encoded twice.
    return _adapter(annotation, config) if names_an_encoding(adapter.core_schema) else adapter


def _adapter(annotation: Any, config: ConfigDict) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=config)
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
    if hasattr(annotation, "__pydantic_config__") or hasattr(annotation, "model_config"):
        return TypeAdapter(annotation)  # A model brings its own configuration.
    # Within other types, pydantic applies the configuration to dataclasses and TypedDicts as well.
    return TypeAdapter(NewType("Configured", annotation), config=config)  # type: ignore[arg-type]


def names_an_encoding(schema: Any) -> bool:
    """Whether a core schema contains an encoding of its own for ``bytes``."""
    if isinstance(schema, dict):
        return any(map(names_an_encoding, schema.values()))
    if isinstance(schema, list | tuple):
        return any(map(names_an_encoding, schema))
    return isinstance(getattr(schema, "__self__", None), EncodedBytes)
