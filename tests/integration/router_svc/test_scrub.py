"""The slow comparison with the whole catalog."""

from __future__ import annotations

from dataclasses import replace

from router_svc.shards import Shards
from tests.harness.waiting import eventually_async
from tests.integration.router_svc.running import Database, refusal_of, running_router
from trunkline.errors import Reason


async def test_a_snapshot_that_lost_something_in_memory_is_found_and_read_anew(
    migrated_dsn: str, database: Database
) -> None:
    """What no digest of rows can tell: a route is gone. Nothing is proven by it once that is known."""
    await database.channel("a", ["m", "wild-*"])
    await database.api_key("tl-caller", model_allow_list=["m"])
    async with running_router(migrated_dsn) as running:
        await running.ready()
        cache = running.router.cache
        assert await running.router.scrub._scrub() == "same"
        held = cache.snapshot
        assert held is not None
        cache.snapshot = replace(held, routes={}, api_keys_by_hash=Shards.empty())
        assert await running.router.scrub._scrub() == "different"
        client = running.client()

        async def served() -> bool:
            return bool((await client.pick("m", api_key="tl-caller")).candidates)

        await eventually_async(served)
        assert (await refusal_of(client.pick("none"))).reason is Reason.MODEL_UNKNOWN
        assert await running.router.scrub._scrub() == "same"


async def test_a_catalog_that_moves_on_is_no_alarm(migrated_dsn: str, database: Database) -> None:
    """Another revision is looked at another time."""
    async with running_router(migrated_dsn) as running:
        await running.ready()
        cache = running.router.cache
        held = cache.snapshot
        await database.channel("a", ["m"])
        await eventually_async(lambda: cache.snapshot is not held)
        cache.snapshot, now = held, cache.snapshot
        assert await running.router.scrub._scrub() == "moved on"
        cache.snapshot = now
