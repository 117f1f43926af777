"""JSON as the HTTP face speaks it, to and from messages, by their descriptors.

Names are the fields' own (snake_case), enums go without their prefix, ids are numbers, spans are `"2s"`, times RFC 3339. The
law: reading notes every fault under its path and never guesses: an unknown name, a number in quotes or a repeated key is a
fault, not something to pass over. What is absent in a message is null in JSON, so that an answer's shape never varies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeAlias

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from admin_svc.rules import Faults, at
from admin_svc.wire import plain_list, plain_object, prefix_of

Field: TypeAlias = Any
"""A field's descriptor, of one of the two implementations that protobuf's types know."""

_DEEPEST: Final = 32
_LARGEST_EXACT: Final = 1 << 53
_BOUNDS: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
}
_SPAN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)")
_SMALL: Final = re.compile(r"[0-9]{1,9}")
_FIRST_TOO_LARGE: Final = 1 << 31
_LISTS: Final = {"parameter_overrides": "parameter_operations"}
"""Names under which a list is another field of the message than an object."""
_OBJECTS: Final = {spelled: name for name, spelled in _LISTS.items()}
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class MalformedJsonError(Exception):
    """The body is no JSON object; the message says where and why, and shows nothing of it."""


def parse(body: bytes) -> dict[str, Any]:
    """Read a body as one JSON object; an empty body is an empty one. Raises MalformedJsonError."""
    if not body.strip():
        return {}
    try:
        value = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise MalformedJsonError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise MalformedJsonError(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise MalformedJsonError("nested too deep") from None
    except ValueError:  # Python's own bound on the digits of a number
        raise MalformedJsonError("a number has too many digits") from None
    if not isinstance(value, dict):
        raise MalformedJsonError("must be an object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise MalformedJsonError("an object names the same key twice")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedJsonError(f"{name} is no JSON number")


# --- in -------------------------------------------------------------------------------------------------------------


def read_into(message: Message, values: Mapping[str, Any], faults: Faults) -> None:
    """Fill a message from an object; null leaves a field absent."""
    for name, value in values.items():
        # A list where an object may stand too is another field of the message: protobuf has no such choice.
        spelled = _LISTS.get(name, name) if isinstance(value, list) else name
        field = message.DESCRIPTOR.fields_by_name.get(spelled)
        if field is None or name in _LISTS.values():
            faults.note(name, "is not a field")
        elif value is not None:
            read_field(message, field, value, faults)


def read_field(message: Message, field: Field, value: Any, faults: Faults) -> None:
    """Fill one field."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        _read_map(getattr(message, field.name), field, value, faults)
    elif field.is_repeated:
        _read_list(getattr(message, field.name), field, value, faults)
    elif kind is not None:
        _read_message(getattr(message, field.name), field.name, value, faults)
    else:
        scalar = _scalar(field, field.name, value, faults)
        if scalar is not None:
            setattr(message, field.name, scalar)


def _read_map(target: Any, field: Field, value: Any, faults: Faults) -> None:
    name, kinds = field.name, field.message_type.fields_by_name
    if kinds["key"].cpp_type in _BOUNDS:
        _read_numbers(target, name, value, faults)
    elif not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        faults.note(name, "must be an object whose values are strings")
    elif _encodable(name, [*value, *value.values()], faults):
        target.update(value)


def _read_numbers(target: Any, name: str, value: Any, faults: Faults) -> None:
    """Read a map from number to number; JSON has only text for its keys."""
    if not isinstance(value, dict):
        faults.note(name, "must be an object from number to number")
        return
    for key, number in value.items():
        # The bounds of what is mapped are the rules'; here it must fit into the message.
        if not _SMALL.fullmatch(key):
            faults.note(at(name, key), "must have a number as its name")
        elif not isinstance(number, int) or isinstance(number, bool) or abs(number) >= _FIRST_TOO_LARGE:
            faults.note(at(name, key), "must be an integer")
        else:
            target[int(key)] = number


def _read_list(target: Any, field: Field, value: Any, faults: Faults) -> None:
    if not isinstance(value, list):
        faults.note(field.name, "must be a list")
        return
    for position, item in enumerate(value):
        name = f"{field.name}[{position}]"
        if field.message_type is not None:
            _read_message(target.add(), name, item, faults)
        else:
            scalar = _scalar(field, name, item, faults)
            if scalar is not None:
                target.append(scalar)


def _read_message(target: Message, name: str, value: Any, faults: Faults) -> None:
    target.SetInParent()
    match target:
        case duration_pb2.Duration():
            _read_span(target, name, value, faults)
        case timestamp_pb2.Timestamp():
            _read_time(target, name, value, faults)
        case struct_pb2.Struct():
            _read_struct(target, name, value, faults)
        case struct_pb2.ListValue():
            _read_json_list(target, _OBJECTS[name], value, faults)
        case _ if isinstance(value, dict):
            read_into(target, value, faults.within(name))
        case _:
            faults.note(name, "must be an object")


def _read_span(target: duration_pb2.Duration, name: str, value: Any, faults: Faults) -> None:
    match = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        faults.note(name, 'must be a span of time such as "2s", "500ms" or "1.5m"')
    else:
        target.FromNanoseconds(round(float(match[1]) * _UNITS[match[2]] * 1e9))


def _read_time(target: timestamp_pb2.Timestamp, name: str, value: Any, faults: Faults) -> None:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        time = None
    if time is None or time.tzinfo is None:
        faults.note(name, 'must be a time with its zone such as "2027-01-31T12:00:00Z"')
        return
    try:
        target.FromDatetime(time.astimezone(UTC))
    except (ValueError, OverflowError):
        faults.note(name, "is not a time from year 1 to 9999")


def _read_struct(target: struct_pb2.Struct, name: str, value: Any, faults: Faults) -> None:
    fault = "must be an object" if not isinstance(value, dict) else _struct_fault(value, _DEEPEST)
    if fault:
        faults.note(name, fault)
    else:
        target.update(value)


def _read_json_list(target: struct_pb2.ListValue, name: str, value: list[Any], faults: Faults) -> None:
    fault = _struct_fault(value, _DEEPEST)
    if fault:
        faults.note(name, fault)
    else:
        target.extend(value)


def _struct_fault(value: Any, levels: int) -> str:
    if levels == 0:
        return f"is nested deeper than {_DEEPEST} levels"
    if isinstance(value, int) and abs(value) > _LARGEST_EXACT:
        return "holds a number that no double holds exactly"
    if isinstance(value, str):
        return "" if _is_utf8(value) else "holds half of a surrogate pair"
    children: Iterable[Any] = ()
    if isinstance(value, dict):
        children = [*value, *value.values()]
    elif isinstance(value, list):
        children = value
    return next((fault for child in children if (fault := _struct_fault(child, levels - 1))), "")


def _scalar(field: Field, name: str, value: Any, faults: Faults) -> Any:
    """Read one scalar; None when it is at fault."""
    fault = ""
    if field.enum_type is not None:
        numbers = _numbers(field.enum_type)
        if isinstance(value, str) and value.upper() in numbers:
            return numbers[value.upper()]
        fault = f"must be one of {', '.join(numbers)}"
    elif field.cpp_type in _BOUNDS:
        low, high = _BOUNDS[field.cpp_type]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            fault = f"must be an integer from {low} to {high}"
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        fault = "" if isinstance(value, bool) else "must be true or false"
    elif not isinstance(value, str):
        fault = "must be a string"
    elif not _encodable(name, [value], faults):
        return None
    if fault:
        faults.note(name, fault)
        return None
    return value


def _numbers(enum: Any) -> dict[str, int]:
    prefix = prefix_of(enum.name)
    return {value.name.removeprefix(prefix): value.number for value in enum.values if value.number}


def _encodable(name: str, texts: Iterable[str], faults: Faults) -> bool:
    if all(map(_is_utf8, texts)):
        return True
    faults.note(name, "holds half of a surrogate pair")
    return False


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def read_text(message: Message, name: str, text: str, faults: Faults) -> None:
    """Fill one field from text, as a URL gives it."""
    field = message.DESCRIPTOR.fields_by_name[name]
    value: Any = text
    if field.cpp_type in _BOUNDS and field.enum_type is None:
        value = int(text) if re.fullmatch(r"-?[0-9]{1,20}", text) else text
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        value = {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    read_field(message, field, value, faults)


# --- out ------------------------------------------------------------------------------------------------------------


def show(message: Message) -> dict[str, Any]:
    """Write a message as an object; a secret that is not there has no key, so that nobody takes "" for one."""
    shown = {
        field.name: _shown(message, field)
        for field in message.DESCRIPTOR.fields
        if not (field.name == "secret" and not getattr(message, field.name))
    }
    for name, spelled in _LISTS.items():
        if spelled in shown and (values := shown.pop(spelled)) is not None:
            shown[name] = values
    return shown


def _shown(message: Message, field: Field) -> Any:
    value, kind = getattr(message, field.name), field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return {str(key): item for key, item in value.items()}
    if field.is_repeated:
        return [_shown_one(field, item) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _shown_one(field, value)


def _shown_one(field: Field, value: Any) -> Any:
    match value:
        case duration_pb2.Duration():
            return f"{value.ToNanoseconds() / 1e9:.9f}".rstrip("0").rstrip(".") + "s"
        case timestamp_pb2.Timestamp():
            return value.ToJsonString()
        case struct_pb2.Struct() | struct_pb2.ListValue():
            return plain_object(value) if isinstance(value, struct_pb2.Struct) else plain_list(value)
        case Message():
            return show(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name.removeprefix(prefix_of(field.enum_type.name)) if known else str(value)
    return value
