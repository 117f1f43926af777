"""Text that Postgres cannot store: which string fields of a message hold a NUL character.

Law: the answer depends on the message's descriptor alone, so that a field added later is covered. Halves of surrogate pairs
need no look: protobuf takes none in. Not for hot paths: it walks the whole message.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from google.protobuf.message import Message

from trunkline.errors import FieldFault

NUL: Final = "\0"
DESCRIPTION: Final = "holds a NUL character"
_WELL_KNOWN: Final = "google.protobuf."

Field: TypeAlias = Any
"""A field's descriptor, of one of the two implementations that protobuf's types know."""


def faults_of(message: Message, under: str = "") -> list[FieldFault]:
    """Every field, by its path, that holds text which cannot be stored."""
    return [
        FieldFault(path, DESCRIPTION) for field, value in message.ListFields() for path in _paths(field, value, under)
    ]


def _paths(field: Field, value: Any, under: str) -> Iterator[str]:
    path = under + field.name
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if any(_holds_nul(part) for entry in value.items() for part in entry):
            yield path
    elif not field.is_repeated:
        yield from _found(field, value, path)
    else:
        for position, item in enumerate(value):
            yield from _found(field, item, f"{path}[{position}]")


def _found(field: Field, value: Any, path: str) -> Iterator[str]:
    if field.message_type is None or field.message_type.full_name.startswith(_WELL_KNOWN):
        if _holds_nul(value):
            yield path
    else:
        yield from (fault.field for fault in faults_of(value, f"{path}."))


def _holds_nul(value: Any) -> bool:
    """Whether a value holds a NUL anywhere; what is JSON to callers (a Struct, a list) is one value to them."""
    return bool(faults_of(value)) if isinstance(value, Message) else isinstance(value, str) and NUL in value
