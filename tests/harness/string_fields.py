"""Every string field of a message type, by its descriptor, and messages that hold a text there.

Law: a field added to a proto later is found here without a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

DEEPEST = 8
"""Messages within messages; a Struct holds itself."""

Setter = Callable[[Any, str], None]
"""Puts a text into a message."""


def string_fields(kind: Any, depth: int = DEEPEST, seen: tuple[str, ...] = ()) -> Iterator[tuple[str, Setter]]:
    """Every string field by its path, with what puts a text there."""
    for field in kind.fields:
        sub = field.message_type
        if sub is None:
            if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and field.type == FieldDescriptor.TYPE_STRING:
                yield field.name, _scalar(field)
        elif sub.GetOptions().map_entry:
            yield from _of_map(field)
        elif len(seen) < depth and sub.full_name not in seen:
            for path, put in string_fields(sub, depth, (*seen, sub.full_name)):
                yield f"{field.name}.{path}", _within(field, put)


def _scalar(field: Any) -> Setter:
    def put(message: Message, text: str) -> None:
        if field.is_repeated:
            getattr(message, field.name).append(text)
        else:
            setattr(message, field.name, text)

    return put


def _within(field: Any, inner: Setter) -> Setter:
    def put(message: Message, text: str) -> None:
        inside = getattr(message, field.name)
        inner(inside.add() if field.is_repeated else inside, text)

    return put


def _of_map(field: Any) -> Iterator[tuple[str, Setter]]:
    kinds = field.message_type.fields_by_name
    if kinds["key"].cpp_type != FieldDescriptor.CPPTYPE_STRING:
        return

    def put_key(message: Message, text: str) -> None:
        entries = getattr(message, field.name)
        if kinds["value"].message_type is None:
            entries[text] = "x"
        else:
            entries[text].string_value = "x"  # of a Struct: the only map of messages there is

    def put_value(message: Message, text: str) -> None:
        entries = getattr(message, field.name)
        if kinds["value"].message_type is None:
            entries["x"] = text
        else:
            entries["x"].string_value = text

    yield f"{field.name}<key>", put_key
    yield f"{field.name}<value>", put_value
