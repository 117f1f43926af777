"""Gemini's own schemas, which are a part of OpenAPI's, as JSON schemas.

The law: types are in lower case and `nullable` is a type of its own; all else has the same names.
"""

from typing import Any, Final

_ONE: Final = frozenset({"items", "additionalProperties"})
_MANY: Final = frozenset({"anyOf", "oneOf", "allOf"})
_DROPPED: Final = frozenset({"propertyOrdering", "nullable"})
_RENAMED: Final = {
    "any_of": "anyOf",
    "max_items": "maxItems",
    "min_items": "minItems",
    "max_length": "maxLength",
    "min_length": "minLength",
    "max_properties": "maxProperties",
    "min_properties": "minProperties",
    "property_ordering": "propertyOrdering",
    "additional_properties": "additionalProperties",
}


def json_schema(schema: Any) -> Any:
    """Give a schema as a JSON schema; what is no object is left alone."""
    if not isinstance(schema, dict):
        return schema
    written: dict[str, Any] = {}
    for spelled, value in schema.items():
        name = _RENAMED.get(str(spelled), str(spelled))
        if name == "type" and type(value) is str:
            written[name] = [value.lower(), "null"] if schema.get("nullable") is True else value.lower()
        elif name == "properties" and type(value) is dict:
            written[name] = {key: json_schema(inner) for key, inner in value.items()}
        elif name in _ONE:
            written[name] = json_schema(value)
        elif name in _MANY and type(value) is list:
            written[name] = [json_schema(inner) for inner in value]
        elif name not in _DROPPED:
            written[name] = _number(name, value)
    return written


def _number(name: str, value: Any) -> Any:
    # Protobuf writes its 64-bit numbers as strings.
    if name.startswith(("max", "min")) and type(value) is str and value.isascii() and value.isdigit():
        return int(value[:15])
    return value
