"""Small words of the wire: enum names, spans, JSON values.

The law: a number of a Struct that is whole is an integer again, for `max_tokens: 5.0` would be refused upstream.
"""

from __future__ import annotations

import re
from typing import Any, Final

from google.protobuf import duration_pb2, struct_pb2

_LARGEST_EXACT: Final = 1 << 53


def name_of(enum: Any, number: int) -> str:
    """Name an enum's value without its prefix; empty for the unspecified one."""
    return "" if number == 0 else str(enum.Name(number)).removeprefix(prefix_of(enum.DESCRIPTOR.name))


def prefix_of(enum_name: str) -> str:
    """Write the prefix of an enum's values: `CHANNEL_STATUS_` for ChannelStatus."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum_name).upper() + "_"


def seconds_of(span: duration_pb2.Duration) -> float:
    """Read a span in seconds."""
    return span.seconds + span.nanos / 1e9


def status_of(enum: Any, number: int) -> str:
    """Name a status; a newer client's value by its number, which no rule admits and no row has."""
    try:
        return name_of(enum, number)
    except ValueError:
        return str(number)


def plain(value: struct_pb2.Value) -> Any:
    """Read a JSON value."""
    match value.WhichOneof("kind"):
        case "struct_value":
            return plain_object(value.struct_value)
        case "list_value":
            return plain_list(value.list_value)
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= _LARGEST_EXACT else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def plain_list(values: struct_pb2.ListValue) -> list[Any]:
    """Read a JSON list."""
    return [plain(item) for item in values.values]


def plain_object(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Read a JSON object."""
    return {name: plain(value) for name, value in struct.fields.items()}
