"""Picks that read the database themselves: with the cache off, and where the snapshot cannot be trusted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.router_svc.running import (
    Client,
    Database,
    RunningRouter,
    frozen,
    refusal_of,
    running_router,
)
from trunkline.errors import Cause, Reason
from trunkline.v1 import router_pb2


@pytest.fixture(params=["TRUNKLINE_ROUTER_CACHE", "MEMORY_CACHE_ENABLED"])
async def uncached(
    migrated_dsn: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[RunningRouter]:
    """A router whose cache is off, by either name; its log is captured from the start."""
    capsys.readouterr()
    async with running_router(migrated_dsn, **{request.param: "false"}) as running:
        await running.ready()
        yield running


def value_of(name: str, **labels: str) -> float:
    """A metric as it is now."""
    return REGISTRY.get_sample_value(f"trunkline_router_{name}", labels) or 0.0


async def test_with_the_cache_off_each_pick_sees_the_last_commit_and_following_goes_on(
    uncached: RunningRouter, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same decisions, without any wait for the snapshot; status and log say so."""
    client = uncached.client()
    first = await database.channel("a", ["m", "gpt-*"], groups=("default", "vip"))
    await database.api_key("tl-caller", "vip")
    assert [one.channel_id for one in (await client.pick("m")).candidates] == [first]
    plan = await client.pick("gpt-4o", api_key="tl-caller")
    assert (plan.matched_model, plan.group, plan.candidates[0].key) == ("gpt-*", "vip", "sk-upstream")
    assert not plan.degraded
    await client.pick(
        "m", min_token=await database.token()
    )  # from here on the snapshot could serve it, of an older state
    for number in range(5):
        await database.run("UPDATE channels SET priority = %s", number)
        plan = await client.pick("m")
        assert (plan.candidates[0].priority, plan.token) == (number, await database.token())
    for refused, reason in (
        (client.pick("none"), Reason.MODEL_UNKNOWN),
        (client.pick("m", group="other"), Reason.MODEL_NOT_IN_GROUP),
        (client.pick("m", api_key="tl-nobody"), Reason.API_KEY_UNKNOWN),
    ):
        assert (await refusal_of(refused)).reason is reason
    await database.run("UPDATE channels SET status = 'DISABLED'")
    assert (await refusal_of(client.pick("m"))).reason is Reason.NO_CHANNEL
    token = await database.token()

    async def followed() -> bool:
        return (await client.status()).applied == token

    await eventually_async(followed)
    assert not (await client.status()).cache_enabled
    told = capsys.readouterr().out
    for line in ("each pick reads the database", "following every 1 s", "catalog loaded at revision"):
        assert line in told


async def test_with_the_cache_off_picks_share_reads(uncached: RunningRouter, database: Database) -> None:
    """Hundreds of picks that come together cost a few reads, on a stream too."""
    client = uncached.client()
    await database.channel("a", ["m"])
    before = value_of("direct_reads_total", result="ok")
    stream = client.stub.PickChannels(metadata=client.metadata)
    items = [
        router_pb2.PickChannelsRequest.Item(
            id=number, pick=router_pb2.Pick(group="default", model=f"none-{number}" if number % 2 else "m")
        )
        for number in range(500)
    ]
    await stream.write(router_pb2.PickChannelsRequest(items=items))
    answered: dict[int, bool] = {}
    async with asyncio.timeout(PATIENCE):
        while len(answered) < len(items):
            message = await stream.read()
            assert isinstance(message, router_pb2.PickChannelsResponse)
            answered |= {result.id: result.HasField("plan") for result in message.results}
    assert answered == {number: number % 2 == 0 for number in range(500)}
    assert value_of("direct_reads_total", result="ok") - before <= 4
    stream.cancel()


async def test_with_the_cache_off_and_no_database_what_is_held_serves(
    uncached: RunningRouter, database: Database
) -> None:
    """A plan from memory rather than none; never a flat no."""
    client = uncached.client()
    await database.channel("a", ["m"])
    token = await database.token()
    await client.pick("m", min_token=token)
    async with frozen(database):
        assert (await client.pick("m", limit=2.0)).candidates
        async with asyncio.timeout(PATIENCE):
            for _ in range(20):
                assert (await client.pick("m", limit=2.0)).candidates  # a database that failed is not waited for again
        assert (await refusal_of(client.pick("none", limit=0.3))).reason is Reason.UNVERIFIED


async def test_where_the_catalog_does_not_add_up_picks_are_read_for(
    client: Client, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """A digest that stays wrong stops no new channel, and what is held serves on; but no refusal is proven by it."""
    await database.channel("a", ["m"])
    await client.pick("m", min_token=await database.token())
    held = (await client.status()).applied
    saved = value_of("fallbacks_saved_total")
    async with database.connection.transaction():
        await database.channel("b", ["n"])
        await database.run("UPDATE catalog SET digest = digest + 1")
    token = await database.token()
    plan = await client.pick("n")
    assert (plan.candidates[0].channel_name, plan.token) == ("b", token)
    refusal = await refusal_of(client.pick("none", limit=0.5))
    assert (refusal.reason, refusal.metadata["cause"]) == (Reason.UNVERIFIED, Cause.HEAD_UNSOUND)
    assert (await client.pick("m")).token == held
    assert value_of("fallbacks_saved_total") == saved + 1
    failed = value_of("loads_total", kind="failed")
    await eventually_async(lambda: value_of("loads_total", kind="failed") > failed + 2)
    told = capsys.readouterr().out
    assert "[CacheFallback]" in told
    loud = [line for line in told.splitlines() if "does not add up" in line and "[debug" not in line]
    assert len(loud) == 1, "once, not at each of its reads"
    await database.run("SELECT catalog_repair()")
    assert (await client.pick("n", min_token=await database.token())).candidates


async def test_no_flat_no_while_a_row_that_might_serve_cannot_be_read(client: Client, database: Database) -> None:
    """UNVERIFIED names the row, for those it may concern; all others get their proven answers."""
    await database.channel("good", ["other"])
    bad = await database.channel("bad", ["m", "bad-*"])
    await database.run("UPDATE channels SET header_overrides = '[\"sk-secret\"]' WHERE id = %s", bad)
    await database.api_key("tl-unreadable", model_allow_list=[""])
    token = await database.token()
    for model in ("m", "bad-1"):
        refusal = await refusal_of(client.pick(model, min_token=token))
        assert (refusal.reason, refusal.retry_delay) == (Reason.UNVERIFIED, 1.0)
        assert refusal.metadata["cause"] == Cause.ROW_UNREADABLE
        assert "secret" not in refusal.message
    assert (await refusal_of(client.pick("none"))).reason is Reason.MODEL_UNKNOWN
    assert (await refusal_of(client.pick("other", group="vip"))).reason is Reason.MODEL_NOT_IN_GROUP
    assert (await refusal_of(client.pick("other", api_key="tl-unreadable"))).reason is Reason.UNVERIFIED
    assert (await refusal_of(client.pick("other", api_key="tl-nobody"))).reason is Reason.API_KEY_UNKNOWN
    await database.run("UPDATE channels SET header_overrides = '{}' WHERE id = %s", bad)
    assert (await client.pick("m")).candidates[0].channel_id == bad


async def test_a_row_that_is_off_casts_no_doubt(client: Client, database: Database) -> None:
    """What says itself that it is off is no reason to hesitate, whether it can be read or not."""
    bad = await database.channel("bad", ["m"])
    await database.run("UPDATE channels SET header_overrides = '[]', status = 'DISABLED' WHERE id = %s", bad)
    refusal = await refusal_of(client.pick("m", min_token=await database.token()))
    assert refusal.reason in (Reason.MODEL_UNKNOWN, Reason.NO_CHANNEL)
