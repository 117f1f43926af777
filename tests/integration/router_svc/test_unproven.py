"""What a caller learns when nothing can be proven: a code, and nothing of the database or of the secrets."""

from __future__ import annotations

import base64

import psycopg
import pytest
from google.protobuf.json_format import MessageToJson

from tests.harness.waiting import eventually_async
from tests.integration.router_svc.running import ADMIN_TOKEN, Database, frozen, refusal_of, running_router
from trunkline.errors import Cause, Reason
from trunkline.v1 import router_pb2


async def test_an_unreachable_database_is_a_code_and_no_address(migrated_dsn: str, database: Database) -> None:
    """Neither its name nor its host is in anything that a caller sees."""
    await database.channel("a", ["m"])
    parts = psycopg.conninfo.conninfo_to_dict(migrated_dsn)
    name, host = str(parts["dbname"]), str(parts["host"])
    other = psycopg.conninfo.make_conninfo(migrated_dsn, dbname="postgres")
    async with (
        running_router(migrated_dsn) as running,
        await psycopg.AsyncConnection.connect(other, autocommit=True) as operator,
    ):
        await running.ready()
        client = running.client()
        await operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        refusal = await refusal_of(client.pick("none", limit=0.5))
        assert (refusal.reason, refusal.metadata["cause"]) == (Reason.UNVERIFIED, Cause.DATABASE_UNREACHABLE)
        told = repr(refusal) + MessageToJson(await client.status())
        assert name not in told
        assert host not in told


async def test_a_frozen_database_is_slow(migrated_dsn: str, database: Database) -> None:
    """Silence has a code of its own."""
    async with running_router(migrated_dsn) as running:
        await running.ready()
        client = running.client()
        async with frozen(database):

            async def slow() -> bool:
                refusal = await refusal_of(client.pick("none", limit=0.5))
                assert refusal.reason is Reason.UNVERIFIED
                return refusal.metadata["cause"] == Cause.DATABASE_SLOW

            await eventually_async(slow)


@pytest.mark.parametrize(
    "keys",
    ["k2:" + base64.b64encode(bytes(32)).decode(), "k1:" + base64.b64encode(bytes(32)).decode()],
    ids=["unknown id", "wrong key"],
)
async def test_a_key_that_this_router_cannot_open_is_never_an_off(
    migrated_dsn: str, database: Database, keys: str
) -> None:
    """Whether its sealing key has an id unknown here or other bytes; the status says which channel."""
    channel_id = await database.channel("a", ["m"])
    async with running_router(migrated_dsn, TRUNKLINE_ENCRYPTION_KEYS=keys) as running:
        await running.ready()
        refusal = await refusal_of(running.client().pick("m"))
        assert (refusal.reason, refusal.metadata["cause"]) == (Reason.UNVERIFIED, Cause.KEY_NOT_OPENED)
        [row] = (await running.client().status()).quarantine
        assert (row.kind, row.id) == ("channel", str(channel_id))
        assert isinstance(row, router_pb2.QuarantinedRow)


async def test_what_is_wrong_with_a_row_is_told_to_those_who_may_read_it(migrated_dsn: str, database: Database) -> None:
    """Others learn which row, and a code."""
    channel_id = await database.channel("a", ["m"])
    await database.run("UPDATE channels SET header_overrides = '[7]' WHERE id = %s", channel_id)
    async with running_router(migrated_dsn) as running:
        await running.ready()
        [told] = (await running.client(ADMIN_TOKEN).status()).quarantine
        assert "header_overrides" in told.fault
        [masked] = (await running.client().status()).quarantine
        assert (masked.id, masked.fault) == (told.id, Cause.ROW_UNREADABLE)
