"""Reads JSON objects member by member, and knows what was left unread.

The law: a member of the wrong kind raises DialectFault with its path. What nobody read and asks for something (null, false
and empty do not) is a loss. Reading takes: an object is read once.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Self, TypeVar

import msgspec

from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.losses import Losses

MOST: Final = 1 << 53
"""Numbers beyond it are not the same in every parser."""
_DECODER: Final = msgspec.json.Decoder()
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_T = TypeVar("_T")


def decode(body: bytes) -> Any:
    """Read JSON. Raises DialectFault."""
    return decoded(_DECODER.decode, body)


def decoded(decoder: Callable[[bytes], _T], data: bytes) -> _T:
    """Read JSON into a shape. Raises DialectFault."""
    try:
        return decoder(data)
    except msgspec.ValidationError as fault:
        raise DialectFault("", f"is not of this format: {fault}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DialectFault("", "is not valid JSON in UTF-8") from None
    except RecursionError:
        raise DialectFault("", "is nested too deeply") from None


def encode(value: Any) -> bytes:
    """Write JSON. Raises DialectFault."""
    try:
        return msgspec.json.encode(value)
    except (RecursionError, UnicodeEncodeError):
        raise DialectFault("", "holds what cannot be written") from None


def arguments_object(text: str, path: str) -> dict[str, Any]:
    """Read a tool call's arguments where a dialect wants them as an object. Raises DialectFault."""
    if not text.strip():
        return {}
    try:
        return _OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise DialectFault(path, "must be the JSON text of an object") from None


class Members:
    """One JSON object, being read."""

    __slots__ = ("_left", "at")

    def __init__(self, value: Any, at: str) -> None:
        """Take a value found at a path. Raises DialectFault when it is no object."""
        if type(value) is not dict:
            raise DialectFault(at, "must be an object")
        self._left: dict[str, Any] = value
        self.at = at

    def path(self, name: str) -> str:
        """Give a member's path."""
        return f"{self.at}.{name}" if self.at else name

    def take(self, name: str) -> Any:
        """Take a member as it is; None when it is missing."""
        return self._left.pop(name, None)

    def peek(self, name: str) -> Any:
        """Look at a member and leave it."""
        return self._left.get(name)

    def only(self, name: str) -> bool:
        """Tell whether a member is there, and no other."""
        return len(self._left) == 1 and name in self._left

    def has_any(self, names: frozenset[str]) -> bool:
        """Tell whether any of some members is there."""
        return not names.isdisjoint(self._left)

    def text(self, name: str) -> str:
        """Take a string; empty when it is missing."""
        value = self._left.pop(name, None)
        if value is None:
            return ""
        if type(value) is not str:
            raise DialectFault(self.path(name), "must be a string")
        return value

    def need_text(self, name: str) -> str:
        """Take a string that must be there, and not empty."""
        value = self.text(name)
        if not value:
            raise DialectFault(self.path(name), "must be a string that is not empty")
        return value

    def given_text(self, name: str) -> str:
        """Take a string that must be there."""
        if type(self.peek(name)) is not str:
            raise DialectFault(self.path(name), "must be a string")
        return self.text(name)

    def whole(self, name: str, low: int = 0) -> int | None:
        """Take a whole number."""
        value = self._left.pop(name, None)
        if type(value) is float and value.is_integer() and abs(value) < MOST:
            value = int(value)
        if value is not None and (type(value) is not int or not low <= value < MOST):
            raise DialectFault(self.path(name), f"must be a whole number from {low} on")
        return value

    def number(self, name: str) -> float | None:
        """Take a number."""
        value = self._left.pop(name, None)
        if value is not None and (type(value) not in (int, float) or not -MOST < value < MOST):
            raise DialectFault(self.path(name), "must be a number")
        return value  # type: ignore[no-any-return]  # whole numbers stay whole: 1 is not written as 1.0

    def flag(self, name: str) -> bool | None:
        """Take a boolean."""
        value = self._left.pop(name, None)
        if value is not None and type(value) is not bool:
            raise DialectFault(self.path(name), "must be true or false")
        return value

    def items(self, name: str) -> list[Any]:
        """Take a list; empty when it is missing."""
        value = self._left.pop(name, None)
        if value is None:
            return []
        if type(value) is not list:
            raise DialectFault(self.path(name), "must be a list")
        return value

    def texts(self, name: str) -> list[str]:
        """Take a list of strings."""
        values = self.items(name)
        for place, value in enumerate(values):
            if type(value) is not str:
                raise DialectFault(f"{self.path(name)}[{place}]", "must be a string")
        return values

    def inner(self, name: str) -> Self | None:
        """Take an object."""
        value = self._left.pop(name, None)
        return None if value is None else type(self)(value, self.path(name))

    def each(self, name: str) -> Iterator[Self]:
        """Take a list of objects, one by one."""
        path = self.path(name)
        for place, value in enumerate(self.items(name)):
            yield type(self)(value, f"{path}[{place}]")

    def left(self) -> list[str]:
        """Name what was not read and is not null."""
        return [name for name, value in self._left.items() if value is not None]

    def rest(self, losses: Losses, where: str, known: frozenset[str] = frozenset()) -> None:
        """Note what was not read; `known` are members that other dialects have no place for."""
        for name, value in self._left.items():
            if value is None or value is False or value in ("", [], {}):
                continue
            if name in known:
                losses.add(f"{where}.{name}" if where else name)
            else:
                losses.unknown(where, name)
