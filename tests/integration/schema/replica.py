"""A router reduced to its memory: the catalog as read through the router views, whole or by deltas.

Law: a delta is the rows above a revision and the tombstones above it, a live row beating its tombstone; whatever was
missed, the result is the whole catalog, and its hashes add up to the head's digest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.integration.schema.catalog import Catalog, Row

VIEWS = {"channel": ("router_channels", "id"), "api_key": ("router_api_keys", "id"), "group": ("router_groups", "name")}
COUNTS = {"channel": "channel_count", "api_key": "api_key_count", "group": "group_count"}


@dataclass(slots=True)
class Replica:
    """What a router knows at `revision`."""

    revision: int = -1
    chain: bytes = b""
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    def catch_up(self, catalog: Catalog) -> None:
        """Apply everything after `revision`, read in one transaction, and hold it against the head."""
        with catalog.transaction():
            catalog.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            head = catalog.head()
            buried = catalog.rows("SELECT kind, id FROM router_tombstones WHERE revision > %s", self.revision)
            live = {
                (kind, str(row[key])): row
                for kind, (view, key) in VIEWS.items()
                for row in catalog.rows(f"SELECT * FROM {view} WHERE revision > %s", self.revision)
            }
        for tombstone in buried:
            self.rows.pop((tombstone["kind"], tombstone["id"]), None)
        self.rows.update(live)
        self.revision, self.chain = head["revision"], bytes(head["chain"])
        assert sum(row["content_hash"] for row in self.rows.values()) == head["digest"]
        for kind, count in COUNTS.items():
            assert sum(known == kind for known, _ in self.rows) == head[count]

    def copy(self) -> Replica:
        """Another router that knows the same."""
        return Replica(self.revision, self.chain, dict(self.rows))
