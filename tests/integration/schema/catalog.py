"""A hand on the catalog: plain SQL over one connection, as an operator types it.

Law: nothing here helps the triggers along; what a statement brings about is read back from the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the triggers write on a channel, an API key or a group."""

    revision: int
    content_hash: int


class Catalog:
    """One session on a migrated database, in autocommit unless inside `transaction()`."""

    def __init__(self, dsn: str) -> None:
        limits = "-c statement_timeout=30s -c lock_timeout=10s"  # a wait for ever is a failure here
        self.connection = psycopg.connect(dsn, autocommit=True, options=limits, row_factory=dict_row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self, *, undo: bool = False) -> Iterator[None]:
        """A transaction, or a savepoint when there is one already; rolled back at the end if so asked."""
        with self.connection.transaction(force_rollback=undo):
            yield

    def run(self, statement: str, *values: Any) -> int:
        """Execute; the answer is how many rows it touched."""
        return self.connection.execute(statement, values or None).rowcount

    def copy(self, target: str, lines: Iterable[Iterable[str]]) -> None:
        """COPY lines of plain text (no tabs, no backslashes) into `table (columns)`."""
        with self.connection.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN") as copy:
            copy.write("".join("\t".join(line) + "\n" for line in lines))

    def rows(self, query: str, *values: Any) -> list[Row]:
        """Every row of a query."""
        return self.connection.execute(query, values or None).fetchall()

    def row(self, query: str, *values: Any) -> Row:
        """The one row of a query."""
        (row,) = self.rows(query, *values)
        return row

    def value(self, query: str, *values: Any) -> Any:
        """The one value of the one row of a query."""
        (value,) = self.row(query, *values).values()
        return value

    def column(self, query: str, *values: Any) -> list[Any]:
        """The one column of a query."""
        return [next(iter(row.values())) for row in self.rows(query, *values)]

    # --- what the triggers keep

    def head(self) -> Row:
        """The head as routers read it."""
        return self.row("SELECT * FROM router_head")

    @property
    def revision(self) -> int:
        """The newest revision."""
        revision: int = self.head()["revision"]
        return revision

    def latest(self) -> Row:
        """The newest row of the history."""
        return self.row("SELECT * FROM revisions ORDER BY revision DESC LIMIT 1")

    def channel(self, channel_id: int) -> Stamp:
        """A channel's stamp."""
        return Stamp(**self.row("SELECT revision, content_hash FROM channels WHERE id = %s", channel_id))

    def tombstones(self) -> set[tuple[str, str]]:
        """What is buried: kind and id."""
        return {(row["kind"], row["id"]) for row in self.rows("SELECT kind, id FROM router_tombstones")}

    def faults(self) -> list[Row]:
        """What the database's own recomputation finds wrong."""
        return self.rows("SELECT * FROM catalog_digest_check()")

    # --- things to change

    def add_channel(
        self,
        name: str,
        *,
        models: Sequence[str] = ("m",),
        groups: Sequence[str] = ("default",),
        keys: Sequence[str] = ("k",),
    ) -> int:
        """A channel with children, in a transaction of its own unless there is one already."""
        with self.transaction():
            channel_id: int = self.value(
                "INSERT INTO channels (name, provider, base_url) VALUES (%s, 'openai', 'http://u/v1') RETURNING id",
                name,
            )
            for model in models:
                self.run("INSERT INTO channel_models (channel_id, model) VALUES (%s, %s)", channel_id, model)
            for group in groups:
                self.run("INSERT INTO channel_groups (channel_id, group_name) VALUES (%s, %s)", channel_id, group)
            for key in keys:
                self.run("INSERT INTO channel_keys (channel_id, sealed) VALUES (%s, %s)", channel_id, key.encode())
        return channel_id

    def add_api_key(self, name: str, group: str = "default") -> int:
        """An API key."""
        digest = hashlib.sha256(name.encode()).digest()
        api_key_id: int = self.value(
            "INSERT INTO api_keys (name, hash, group_name) VALUES (%s, %s, %s) RETURNING id", name, digest, group
        )
        return api_key_id
