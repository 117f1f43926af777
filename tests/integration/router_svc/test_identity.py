"""Who a router is: one life under one id, and a name of its own where none was given."""

from __future__ import annotations

from tests.harness.waiting import eventually_async
from tests.integration.router_svc.running import Database, running_router
from trunkline.v1 import router_pb2


async def test_two_routers_of_one_id_never_live_at_once(migrated_dsn: str, database: Database) -> None:
    """The second says who holds it, is not counted, answers degraded, and takes over once the first has left."""
    await database.channel("a", ["m"])
    async with running_router(migrated_dsn, TRUNKLINE_ROUTER_ID="twin") as first:
        await first.ready()
        async with running_router(migrated_dsn, TRUNKLINE_ROUTER_ID="twin") as second:
            client = second.client()
            await eventually_async(lambda: second.router.cache.holder is not None)
            status = await client.status()
            assert status.state == router_pb2.ROUTER_STATE_DEGRADED
            assert first.router.cache.presence is not None
            assert status.id_held_by == f"{first.router.cache.presence.who.incarnation} at {first.address}"
            await eventually_async(lambda: "lives as twin" in second.router.health.reason)
            assert (await client.pick("m")).candidates[0].channel_name == "a"
            assert await _leases(database) == [("twin", first.router.cache.presence.who.incarnation)]
            first.stop.set()
            await second.ready()
            await eventually_async(lambda: second.router.health.ready)
            assert not (await client.status()).id_held_by


async def test_a_router_that_was_killed_is_followed_within_its_lease(migrated_dsn: str, database: Database) -> None:
    """Its row stays for five seconds; the next of that id serves meanwhile and has the lease after it."""
    await database.channel("a", ["m"])
    await database.run(
        "INSERT INTO routers (id, address, incarnation, state, expire_time)"
        " VALUES ('one', 'nowhere:1', 'the dead', 'SERVING', now() + interval '2 seconds')"
    )
    async with running_router(migrated_dsn, TRUNKLINE_ROUTER_ID="one") as running:
        await eventually_async(lambda: running.router.cache.holder is not None)
        assert (await running.client().pick("m")).candidates
        await running.ready()
        assert running.router.cache.holder is None


async def test_routers_without_an_id_have_names_of_their_own(migrated_dsn: str, database: Database) -> None:
    """Both live, whatever they share."""
    async with running_router(migrated_dsn) as one, running_router(migrated_dsn) as two:
        await one.ready()
        await two.ready()
        assert len(await _leases(database)) == 2


async def _leases(database: Database) -> list[tuple[object, ...]]:
    return await database.run("SELECT id, incarnation FROM routers WHERE expire_time > now()")
