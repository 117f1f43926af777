"""Collecting faults: the checks that more than one resource needs, each noting what it finds under a field's path.

The law: a check never stops the next one. Bounds are in characters unless their name says otherwise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from trunkline.errors import FieldFault, InvalidFields

LONGEST_NAME = 128
LONGEST_GROUP = 64
LONGEST_MODEL = 256
LONGEST_REMARK = 1_024
LONGEST_REASON = 512
HIGHEST_PRIORITY = 1_000_000
HIGHEST_WEIGHT = 1_000_000
_LONGEST_SHOWN = 64
PLAIN_URL = re.compile(r"[!-~]+")
HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?|\[[0-9a-f:.]+\]")

_LINES = frozenset("\n\r\t")
_UNPRINTABLE = frozenset({"Cc", "Cs"})
"""Control characters (which Postgres, HTTP or a log line cannot carry) and halves of surrogate pairs."""


class Faults:
    """The faults found so far, each under the path of what is being looked at.

    With `only`, faults of other fields are passed over.
    """

    def __init__(self, under: str = "", only: Collection[str] | None = None) -> None:
        self._prefix = f"{under}." if under else ""
        self._only = only
        self._found: list[FieldFault] = []

    def within(self, under: str, only: Collection[str] | None = None) -> Faults:
        """Give a view that notes into this one, under a path."""
        inner = Faults(self._prefix + under, only)
        inner._found = self._found
        return inner

    def note(self, field: str, description: str) -> None:
        """Note one fault of one field."""
        if self._only is None or root_of(field) in self._only:
            self._found.append(FieldFault(self._prefix + field, description))

    def take(self, others: Faults, names: Mapping[str, str]) -> None:
        """Take over faults found elsewhere, under other names."""
        for fault in others._found:
            self.note(names.get(fault.field, fault.field), fault.description)

    def refuse_any(self) -> None:
        """Raise InvalidFields with every fault found, if there is any."""
        if self._found:
            raise InvalidFields(self._found)

    def text(self, field: str, value: str, longest: int, *, required: bool = True, lines: bool = False) -> bool:
        """Check that text is there, short enough and printable (`lines`: on several lines too); tell whether it is."""
        if required and not value:
            self.note(field, "must not be empty")
        elif len(value) > longest:
            self.note(field, f"must be at most {longest:,} characters long, not {len(value):,}")
        elif unprintable(value, lines=lines):
            self.note(field, "holds a control character")
        else:
            return True
        return False

    def among(self, field: str, value: str, allowed: Sequence[str]) -> None:
        """Check that a value is one of those allowed."""
        if value not in allowed:
            self.note(field, f"must be one of {', '.join(allowed)}")

    def between(self, field: str, value: int | None, low: int, high: int) -> None:
        """Check that a number, if there is one, is within its bounds."""
        if value is not None and not low <= value <= high:
            self.note(field, f"must be from {low:,} to {high:,}, not {value:,}")

    def at_most(self, field: str, values: Sequence[object] | Mapping[Any, object], most: int) -> bool:
        """Check that a list is not too long; one that is too long is not looked into."""
        if len(values) > most:
            self.note(field, f"must have at most {most:,} entries, not {len(values):,}")
        return len(values) <= most

    def model(self, field: str, value: str) -> bool:
        """Check a model's name as clients give it: a `*` only at its end."""
        if not self.text(field, value, LONGEST_MODEL):
            return False
        if "*" in value[:-1]:
            self.note(field, "may hold `*` only as its last character, where it declares a wildcard")
        elif "," in value:
            self.note(field, "holds a comma: give each model as an entry of its own")
        elif value in (".", ".."):
            self.note(field, "cannot be addressed in a URL")
        else:
            return True
        return False

    def group(self, field: str, value: str, known: Collection[str]) -> None:
        """Check that a group named by another resource exists."""
        if self.text(field, value, LONGEST_GROUP) and value not in known:
            self.note(field, f"group {shown(value)} does not exist")

    def remark(self, value: str) -> None:
        """Check a note for people."""
        self.text("remark", value, LONGEST_REMARK, required=False, lines=True)


def unprintable(value: str, *, lines: bool = False) -> bool:
    """Tell whether text holds what cannot be stored, logged or sent; line breaks and tabs pass if `lines`."""
    return any(
        unicodedata.category(character) in _UNPRINTABLE and not (lines and character in _LINES) for character in value
    )


def root_of(path: str) -> str:
    """Name the field that a path begins with."""
    return path.partition("[")[0].partition(".")[0]


def together(first: Sequence[FieldFault], further: Sequence[FieldFault]) -> list[FieldFault]:
    """Join what two rounds of checks found; what the first found of a field explains what the second says of it."""
    known = {root_of(fault.field) for fault in first}
    return [*first, *(fault for fault in further if root_of(fault.field) not in known)]


def at(field: str, key: str) -> str:
    """Write the path of a map's entry."""
    return f"{field}[{shown(key)}]"


def shown(value: str) -> str:
    """Quote a stranger's text within a message, bounded and printable."""
    text = value if len(value) <= _LONGEST_SHOWN else value[: _LONGEST_SHOWN - 1] + "…"
    return '"' + "".join("�" if unprintable(character) else character for character in text) + '"'


def once(values: Sequence[str]) -> tuple[str, ...]:
    """Keep the first of equal values, in order."""
    return tuple(dict.fromkeys(values))


def trimmed(values: Sequence[str]) -> tuple[str, ...]:
    """Trim each value; positions stay, so that faults count as the caller did."""
    return tuple(value.strip() for value in values)
