"""A row that no program would write harms itself alone: in routers, in copies on the disk, in the admin's pages.

Law: each value is written by plain SQL into a catalog without CHECK constraints, as an older schema or a careless hand would
have left it; after each the rest of the catalog is served, the fault is told, and mending the row mends everything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from router_svc.disk_format import heading_of, put_slice, read_heading, slices_of
from router_svc.draft import Draft
from router_svc.rows import Reader
from router_svc.snapshot import Snapshot
from tests.integration.admin_svc.conftest import Admin, running_admin
from tests.integration.router_svc.hostile import TABLES, Hostile, hostile_values
from tests.integration.router_svc.running import (
    ENCRYPTION_KEYS,
    PEPPER,
    Client,
    Database,
    RunningRouter,
    refusal_of,
    running_router,
)
from trunkline.errors import Reason
from trunkline.v1 import admin_pb2 as pb

LISTS = ("ListChannels", "ListAbilities", "ListGroups", "ListApiKeys", "ListRevisions", "ListRouters")
PATHS = ("channels", "abilities", "groups", "api-keys", "revisions", "routers")
COLUMNS = """
SELECT c.table_name, c.column_name,
    CASE WHEN c.udt_name = '_cidr' THEN 'cidr[]' ELSE c.data_type END
FROM information_schema.columns AS c WHERE c.table_schema = current_schema() AND c.table_name = ANY(%s)
ORDER BY c.table_name, c.ordinal_position
"""
WHERE = {
    "groups": "name = 'victims'",
    "channels": "name = 'victim'",
    "channel_keys": "channel_id = {victim}",
    "channel_models": "channel_id = {victim} AND model = 'fragile'",
    "channel_groups": "channel_id = {victim} AND group_name = 'victims'",
    "ability_overrides": "channel_id = {victim} AND group_name = 'victims'",
    "api_keys": "name = 'sk-victim'",
}


@dataclass
class Stage:
    """A catalog with one row of each kind to be broken, a router and an admin that read it."""

    router: RunningRouter
    client: Client
    admin: Admin
    database: Database
    victim: int

    async def write(self, hostile: Hostile) -> bool:
        """Write a value; False when Postgres itself has none of it."""
        where = WHERE[hostile.table].format(victim=self.victim)
        try:
            await self.database.run(f"UPDATE {hostile.table} SET {hostile.column} = {hostile.value} WHERE {where}")
        except psycopg.Error:
            return False
        return True

    async def check_the_rest(self) -> None:
        """Everything but the victim is as ever, at the newest revision."""
        token = await self.database.token()
        plan = await self.client.pick("sound", api_key="sk-sound", min_token=token)
        assert [candidate.channel_name for candidate in plan.candidates] == ["sound"]
        assert plan.token == token
        refusal = await refusal_of(self.client.pick("nobody's", group="sound", limit=0.3))
        assert refusal.reason in (Reason.MODEL_UNKNOWN, Reason.MODEL_NOT_IN_GROUP, Reason.UNVERIFIED)
        assert {row.kind for row in (await self.client.status()).quarantine} <= {"channel", "api_key"}

    async def check_the_admin(self) -> None:
        """Both faces of the admin show every page, and the victim itself."""
        for method in LISTS:
            await getattr(self.admin.grpc, method)(getattr(pb, f"{method}Request")())
        for path in (*PATHS, f"channels/{self.victim}"):
            response = await self.admin.http.get(f"/api/v1/{path}")
            assert response.status_code == 200, (path, response.text)

    def check_the_copy(self) -> None:
        """A copy of what is held reads back as the same."""
        held = self.router.router.cache.snapshot
        assert held is not None
        read = _copied(held)
        assert (read.head, read.quarantine.keys()) == (held.head, held.quarantine.keys())


@asynccontextmanager
async def staged(dsn: str, database: Database) -> AsyncIterator[Stage]:
    """Set the stage on an empty catalog."""
    await database.channel("sound", ["sound"], groups=("sound",))
    await database.api_key("sk-sound", "sound")
    victim = await database.channel("victim", ["fragile"], groups=("victims",))
    await database.run(
        "INSERT INTO ability_overrides (channel_id, group_name, model, weight) VALUES (%s, 'victims', 'fragile', 2)",
        victim,
    )
    await database.api_key("sk-victim", "victims")
    await _without_checks(database)
    async with (
        running_router(dsn, SYNC_FREQUENCY="200ms") as router,
        running_admin(dsn, TRUNKLINE_PEPPER=PEPPER, TRUNKLINE_ENCRYPTION_KEYS=ENCRYPTION_KEYS) as admin,
    ):
        await router.ready()
        yield Stage(router, router.client(), admin, database, victim)


async def test_a_hostile_value_in_any_column_harms_its_row_alone(
    migrated_dsn: str, database: Database, subtests: pytest.Subtests
) -> None:
    """Routers serve the rest, say which row is at fault, and heal once it is mended; pages and copies survive it too."""
    columns: Any = await database.run(COLUMNS, list(TABLES))
    quarantined = 0
    async with staged(migrated_dsn, database) as stage:
        await stage.client.pick("fragile", api_key="sk-victim", min_token=await database.token())
        for hostile in hostile_values(columns):
            with subtests.test(str(hostile)):
                saved = await _saved(database)
                if not await stage.write(hostile):
                    continue
                try:
                    await stage.check_the_rest()
                    quarantined += len((await stage.client.status()).quarantine)
                    await stage.check_the_admin()
                    stage.check_the_copy()
                finally:
                    await _mended(database, saved)
                plan = await stage.client.pick("fragile", api_key="sk-victim", min_token=await database.token())
                assert [candidate.channel_name for candidate in plan.candidates] == ["victim"]
                assert not (await stage.client.status()).quarantine
    assert quarantined > 40


async def _without_checks(database: Database) -> None:
    """Take away what would refuse a hostile value."""
    checks = await database.run(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint"
        " WHERE contype = 'c' AND conrelid::regclass::text = ANY(%s)",
        list(TABLES),
    )
    for table, name in checks:
        await database.run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for table, name in await database.run(
        "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE tgname LIKE '%legible'"
    ):
        await database.run(f"ALTER TABLE {table} DISABLE TRIGGER {name}")


async def _saved(database: Database) -> dict[str, Any]:
    """Every row of the tables, as JSON."""
    return {
        table: (await database.run(f"SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]')::text FROM {table} AS t"))[0][0]
        for table in TABLES
    }


async def _mended(database: Database, saved: dict[str, Any]) -> None:
    """Put every row back as it was; a name is a key, so rows go and come anew where one changed."""
    async with database.connection.transaction():
        for table in reversed(TABLES):
            if table != "groups":
                await database.run(f"DELETE FROM {table}")
        await database.run("DELETE FROM groups")
        for table in TABLES:
            await database.run(
                f"INSERT INTO {table} SELECT (jsonb_populate_recordset(NULL::{table}, %s::jsonb)).*", saved[table]
            )


def _copied(held: Snapshot) -> Snapshot:
    heading = read_heading(heading_of(held, 1, 0.0))
    draft, reader = Draft.from_nothing(heading.head), Reader()
    for frame in slices_of(held):
        put_slice(draft, reader, frame)
    return draft.done(heading.head)
