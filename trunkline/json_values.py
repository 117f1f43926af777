"""Bounds of JSON values that a hand may have written into the catalog.

Law: no value is walked deeper than `DEEPEST`, so none can exhaust the stack of whoever looks.
"""

import math
from collections.abc import Mapping
from typing import Final

DEEPEST: Final = 24
"""Levels below the top of a JSON column; the schema refuses deeper ones, and protobuf cannot carry many more."""
_TOO_DEEP: Final = f"is nested deeper than {DEEPEST} levels"
_UNCARRIED: Final = "holds a number that is too large, or half of a character"


def fault_of(value: object) -> str:
    """Why nobody downstream could carry a value; empty when everybody can."""
    layer = [value]
    for _ in range(DEEPEST + 1):
        children: list[object] = []
        for entry in layer:
            if isinstance(entry, Mapping):
                children += entry.values()
                children += entry.keys()
            elif isinstance(entry, list | tuple):
                children += entry
            elif not _can_be_carried(entry):
                return _UNCARRIED
        if not children:
            return ""
        layer = children
    return _TOO_DEEP


def pruned(value: object, levels: int = DEEPEST) -> object:
    """What can be carried of a value: null stands for numbers too large and for whatever lies too deep."""
    if isinstance(value, Mapping):
        return {_whole(name): pruned(child, levels - 1) for name, child in value.items()} if levels else None
    if isinstance(value, list | tuple):
        return [pruned(child, levels - 1) for child in value] if levels else None
    if isinstance(value, str):
        return _whole(value)
    return value if _can_be_carried(value) else None


def _whole(text: str) -> str:
    """Text with a mark in the place of half a surrogate pair, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def _can_be_carried(value: object) -> bool:
    """Whether a double can hold a number, and UTF-8 a text; anything else passes."""
    try:
        if isinstance(value, str):
            value.encode()
        return not isinstance(value, int | float) or math.isfinite(value)
    except (OverflowError, UnicodeEncodeError):
        return False
