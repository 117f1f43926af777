"""History is forgotten past its time, and routers long gone are."""

from __future__ import annotations

import psycopg

from admin_svc.upkeep import Upkeep
from trunkline.database import open_pool
from trunkline.secret import Secret


async def test_history_past_its_time_is_forgotten_but_never_the_newest(migrated_dsn: str) -> None:
    """What is younger stays; a lease that ran out a day ago goes, one that ran out now does not."""
    async with (
        await psycopg.AsyncConnection.connect(migrated_dsn, autocommit=True) as hand,
        open_pool(Secret(migrated_dsn), "test") as pool,
    ):
        for number in range(3):
            await hand.execute("INSERT INTO groups (name) VALUES (%s)", (f"g{number}",))
        for router, age in (("old", "2 days"), ("late", "1 second")):
            await hand.execute(
                "INSERT INTO routers (id, address, incarnation, state, expire_time)"
                " VALUES (%s, 'a', 'x', 'SERVING', now() - %s::interval)",
                (router, age),
            )
        await Upkeep(pool, history_kept=3600).once()
        cursor = await hand.execute("SELECT count(*) FROM revisions")
        assert await cursor.fetchone() == (5,)
        await Upkeep(pool, history_kept=0).once()
        cursor = await hand.execute("SELECT revision FROM revisions")
        assert await cursor.fetchall() == [(4,)]
        cursor = await hand.execute("SELECT id FROM routers")
        assert await cursor.fetchall() == [("late",)]
