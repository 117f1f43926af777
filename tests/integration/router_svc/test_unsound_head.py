"""A head that cannot be read or does not add up: what is held goes on, marked, and no refusal is proven."""

from __future__ import annotations

import psycopg
import pytest

from router_svc import metrics
from tests.harness.postgres import SUPERUSER, as_role
from tests.harness.waiting import eventually_async
from tests.integration.router_svc.running import Client, Database, refusal_of, running_router
from trunkline.errors import Cause, Reason
from trunkline.v1 import router_pb2

EDITS = (
    "UPDATE catalog SET digest = 0",
    "UPDATE catalog SET digest = digest + 1",
    "UPDATE catalog SET channel_count = channel_count + 1",
    "ALTER TABLE catalog DROP CONSTRAINT catalog_digest_sum_check; UPDATE catalog SET digest = 'NaN'",
    "ALTER TABLE catalog DROP CONSTRAINT catalog_digest_sum_check; UPDATE catalog SET digest = 'Infinity'",
    "ALTER TABLE catalog DROP CONSTRAINT catalog_digest_sum_check; UPDATE catalog SET digest = 0.5",
    "ALTER TABLE catalog DROP CONSTRAINT catalog_counts_check; UPDATE catalog SET group_count = -1",
    "SET session_replication_role = replica; DELETE FROM catalog; RESET session_replication_role",
    "SET session_replication_role = replica; DELETE FROM channel_models; RESET session_replication_role",
)
"""What a hand can do to the head, or behind its back."""


async def is_unsound(client: Client) -> bool:
    """Whether the router says so."""
    return (await client.status()).catalog_fault == Cause.HEAD_UNSOUND


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("cache", ["on", "off"])
async def test_an_unsound_head_costs_refusals_their_proof_and_nothing_else(
    migrated_dsn: str, database: Database, edit: str, cache: str
) -> None:
    """Plans go on and are marked; a refusal is put off with the code; the repair ends it, and following goes on."""
    await database.channel("a", ["m"])
    async with (
        running_router(migrated_dsn, TRUNKLINE_ROUTER_CACHE=cache) as running,
        await psycopg.AsyncConnection.connect(as_role(migrated_dsn, SUPERUSER), autocommit=True) as hand,
    ):
        await running.ready()
        client = running.client()
        await hand.execute(edit.encode())
        if "channel_models" in edit:
            # Only who reads everything can see that: what is held adds up still.
            running.router.cache.distrust()
        await eventually_async(lambda: is_unsound(client))
        assert metrics.CATALOG_UNSOUND._value.get() == 1
        refusal = await refusal_of(client.pick("none", limit=0.5))
        assert (refusal.reason, refusal.metadata["cause"]) == (Reason.UNVERIFIED, Cause.HEAD_UNSOUND)
        if cache == "on" or "channel_models" not in edit:  # else there is nothing to read a plan from
            plan = await client.pick("m")
            assert plan.candidates
            assert plan.degraded
        assert (await client.status()).state == router_pb2.ROUTER_STATE_DEGRADED
        await hand.execute("SELECT catalog_repair()")
        await running.ready()
        assert not await is_unsound(client)
        assert metrics.CATALOG_UNSOUND._value.get() == 0
        assert (await refusal_of(client.pick("none"))).reason is Reason.MODEL_UNKNOWN
        await database.channel("b", ["after"])
        assert (await client.pick("after")).candidates


async def test_a_catalog_whose_restore_has_not_ended_is_not_believed(migrated_dsn: str, database: Database) -> None:
    """Its rows come back with their stamps, table by table and past the triggers, the models last: no refusal meanwhile."""
    await database.channel("a", ["m"])
    tables = ("channels", "channel_groups", "channel_keys", "channel_models")
    async with (
        running_router(migrated_dsn) as running,
        await psycopg.AsyncConnection.connect(as_role(migrated_dsn, SUPERUSER), autocommit=True) as hand,
    ):
        await running.ready()
        client = running.client()
        for table in tables:
            await hand.execute(f"CREATE TABLE kept_{table} AS TABLE {table}".encode())
        await hand.execute("SET session_replication_role = replica")
        await hand.execute("DELETE FROM channel_models; DELETE FROM channel_keys; DELETE FROM channel_groups")
        await hand.execute("DELETE FROM channels")
        running.router.cache.distrust()
        await eventually_async(lambda: is_unsound(client))
        for table in tables:
            assert (await client.pick("m")).candidates
            refusal = await refusal_of(client.pick("none", limit=0.3))
            assert refusal.reason is Reason.UNVERIFIED, table
            columns = await (
                await hand.execute(
                    "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute"
                    " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
                    (table,),
                )
            ).fetchone()
            assert columns is not None
            await hand.execute(
                f"INSERT INTO {table} ({columns[0]}) OVERRIDING SYSTEM VALUE SELECT {columns[0]} FROM kept_{table}".encode()
            )
        await hand.execute("RESET session_replication_role")
        await running.ready()
        assert (await client.pick("m")).candidates
        assert (await refusal_of(client.pick("none"))).reason is Reason.MODEL_UNKNOWN
