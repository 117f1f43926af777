"""Values that no program would write and a hand might, for each type of a column of the catalog.

Law: each is a SQL expression that Postgres itself accepts for the type, the CHECK constraints aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

TABLES: Final = (
    "groups",
    "channels",
    "channel_keys",
    "channel_models",
    "channel_groups",
    "ability_overrides",
    "api_keys",
)

VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "text": ("''", "repeat('x', 3000000)", "'LOST'", r"E'\x01\n'", "'*'", "'infinity'", "'http://[::1'", "'😀'"),
    "jsonb": (
        "(repeat('[', 1000) || repeat(']', 1000))::jsonb",
        """(repeat('{"a":', 1000) || '1' || repeat('}', 1000))::jsonb""",
        """('{"a":' || repeat('[', 30) || '1' || repeat(']', 30) || '}')::jsonb""",
        "to_jsonb(repeat('[', 5000) || repeat(']', 5000))",
        """'{"a": 1e999, "429": 1e999}'::jsonb""",
        """('{"a": ' || repeat('9', 5000) || '}')::jsonb""",
        r"""'"{\"a\": 1, \"a\": \"2\"}"'::jsonb""",
        r"""'"{\"a\": NaN}"'::jsonb""",
        r"""'"{\"a\": \"\\ud800\"}"'::jsonb""",
        """'{"429": "503", "many": [1, null]}'::jsonb""",
        """'[1, {"op": 5}, null]'::jsonb""",
        "'null'::jsonb",
        "'[]'::jsonb",
        "'7'::jsonb",
        "'true'::jsonb",
        "to_jsonb(repeat('x', 3000000))",
    ),
    "integer": ("-2147483648", "2147483647", "-1", "0"),
    "bigint": ("-9223372036854775808", "9223372036854775807", "0"),
    "timestamp with time zone": ("'infinity'", "'-infinity'", "'294276-12-31'", "'4713-01-01 BC'"),
    "ARRAY": ("'{{a,b},{c,d}}'", "'{NULL}'", "'[5:6]={a,b}'", "'{\"\"}'", "array_fill('x'::text, ARRAY[200000])"),
    "cidr[]": ("'{{10.0.0.0/8},{::/0}}'", "'{NULL}'", "'[5:5]={10.0.0.0/8}'"),
    "bytea": (r"'\x'", r"'\x00'", "convert_to(repeat('x', 3000000), 'UTF8')"),
    "boolean": ("true", "false"),
}
STAMPS: Final = frozenset({"revision", "content_hash", "id", "channel_id"})
"""Columns that identify a row or prove it: triggers and keys hold them, and a row is known by nothing else."""


class Hostile(NamedTuple):
    """One value for one column."""

    table: str
    column: str
    value: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column} = {self.value[:60]}"


def hostile_values(columns: list[tuple[str, str, str]]) -> Iterator[Hostile]:
    """Every value for every column, given as table, name and type."""
    for table, column, kind in columns:
        if column not in STAMPS:
            for value in VALUES[kind]:
                yield Hostile(table, column, value)
