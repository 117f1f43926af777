"""Lists in pages: a page begins after the key that the last one ended with.

The law: a page costs the same wherever it is, and no row is skipped or told twice because others came or went meanwhile.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from psycopg import sql

from admin_svc.cursors import dict_cursor
from admin_svc.database import Connection
from admin_svc.records import Page
from trunkline.errors import FieldFault, InvalidFields

T = TypeVar("T")
Row = Mapping[str, Any]

_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page to read: how many rows (the default when zero), and the token of the page before."""

    size: int = 0
    token: str = ""

    def limit(self) -> int:
        """Bound the page. Raises InvalidFields."""
        if not 0 <= self.size <= _LARGEST_PAGE:
            raise InvalidFields([FieldFault("page_size", f"must be from 1 to {_LARGEST_PAGE:,}, not {self.size:,}")])
        return self.size or _DEFAULT_PAGE

    def after(self, *kinds: type) -> list[Any]:
        """Read the key after which the page begins; empty at the start. Raises InvalidFields."""
        if not self.token:
            return []
        try:
            key = json.loads(base64.urlsafe_b64decode(self.token.encode("ascii")))
            text = "".join(map(str, key)).encode()  # of half a surrogate pair it raises ValueError: no row has one
            if (
                isinstance(key, list)
                and [type(part) for part in key] == list(kinds)
                and b"\0" not in text
                and _fits(key)
            ):
                return list(key)
        except (ValueError, TypeError, RecursionError):
            pass
        raise InvalidFields([FieldFault("page_token", "is not one that this list gave out")])


def _fits(key: Sequence[Any]) -> bool:
    """Whether the numbers of a key are numbers that Postgres compares with an id."""
    return all(abs(part) < 1 << 63 for part in key if isinstance(part, int))


class ListQuery:
    """A list in the making: conditions, and paging by the columns it is ordered by."""

    def __init__(self, select: str, key: Sequence[str], after: Sequence[Any], *, newest_first: bool = False) -> None:
        self._select, self._key, self._order = select, ", ".join(key), " DESC" if newest_first else ""
        self._conditions: list[str] = []
        self._values: list[Any] = []
        if after:
            places = ", ".join(["%s"] * len(after))
            self.where(f"({self._key}) {'<' if newest_first else '>'} ({places})", *after)

    def where(self, condition: str, *values: Any) -> None:
        """Add a condition with its values."""
        self._conditions.append(condition)
        self._values.extend(values)

    def where_given(self, condition: str, value: str | int) -> None:
        """Filter by a value, if it is one. Text that no row can hold (a NUL) is answered by no row."""
        if isinstance(value, str) and "\0" in value:
            self.where("false")
        elif value:
            self.where(condition, value)

    async def page(
        self, connection: Connection, limit: int, record: Callable[[Row], T], key_of: Callable[[T], list[Any]]
    ) -> Page[T]:
        """Read one page; `key_of` names the columns of the order."""
        conditions = f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
        ordered = ", ".join(f"{column}{self._order}" for column in self._key.split(", "))
        statement = f"{self._select}{conditions} ORDER BY {ordered} LIMIT {limit + 1}"
        cursor = dict_cursor(connection)
        await cursor.execute(sql.SQL(statement), self._values)
        items = [record(row) for row in await cursor.fetchall()]
        token = ""
        if len(items) > limit:
            key = json.dumps(key_of(items[limit - 1]), separators=(",", ":"))
            token = base64.urlsafe_b64encode(key.encode()).decode()
        return Page(items=tuple(items[:limit]), next_page_token=token)
