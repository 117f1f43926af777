"""Cursors whose rows come as dictionaries, and whose columns never fail to be read.

Law: what a hand has written that Python has no value for (a time past year 9999, JSON nested without end, a number that no
double can hold) is read as the nearest thing or as nothing, so that one row never makes a list unreadable.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg.abc import Buffer
from psycopg.rows import dict_row
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import set_json_loads

from admin_svc.database import Connection
from trunkline import json_values

# A day within what Python has, so that every time zone can show them.
_FIRST: Final = datetime(1, 1, 3, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 30, tzinfo=UTC)


def dict_cursor(connection: Connection) -> psycopg.AsyncCursor[dict[str, Any]]:
    """A cursor that reads rows as dictionaries, whatever they hold."""
    cursor = connection.cursor(row_factory=dict_row)
    cursor.adapters.register_loader("timestamptz", _BoundedTimeLoader)
    set_json_loads(loads, cursor)
    return cursor


def loads(data: str | bytes) -> Any:
    """Reads JSON; null stands for what cannot be carried any further."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return json_values.pruned(value) if json_values.fault_of(value) else value


class _BoundedTimeLoader(TimestamptzLoader):
    """Times past what Python has, infinity among them, as the nearest one."""

    def load(self, data: Buffer) -> datetime:
        """Reads one time."""
        text = bytes(data)
        try:
            return max(_FIRST, min(super().load(data), _LAST))
        except (psycopg.DataError, ValueError, OverflowError):
            return _FIRST if text.startswith(b"-") or text.endswith(b" BC") else _LAST
