"""Faults of the database: sessions ended, server stopped, killed, frozen, failed over to a standby that lagged."""

from __future__ import annotations

import asyncio
import time

import psycopg

from prove.cluster import DATABASE, free_port
from prove.faults_of_processes import PAST_THE_LEASE
from prove.postgres import Server
from prove.proxy import Mode, Proxy
from prove.scene import Failover, Scene


async def sessions_terminated(scene: Scene) -> None:
    """End every session again and again, whatever it is doing."""
    connection = await psycopg.AsyncConnection.connect(scene.cluster.server.dsn(), autocommit=True)
    async with connection:
        for _ in range(5):
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            await asyncio.sleep(scene.rng.uniform(0.05, 0.6) * scene.hold)


async def postgres_stopped(scene: Scene) -> None:
    """Stop the database in order, and start it again."""
    await scene.cluster.server.stop()
    await asyncio.sleep(2.0 * scene.hold)
    await scene.cluster.server.start()


async def postgres_killed(scene: Scene) -> None:
    """Kill every process of the database, and let it recover."""
    await scene.cluster.server.kill()
    await asyncio.sleep(scene.rng.uniform(0.0, 2.0) * scene.hold)
    await scene.cluster.server.start()


async def postgres_frozen(scene: Scene) -> None:
    """Freeze every process of the database for longer than the leases, and let it go on."""
    scene.cluster.server.freeze()
    try:
        await asyncio.sleep(PAST_THE_LEASE)
    finally:
        scene.cluster.server.thaw()


async def standby_promoted(scene: Scene) -> None:
    """Lose the primary with its latest changes, and go on with a standby that had not got them."""
    cluster, old = scene.cluster, scene.cluster.server
    wire = Proxy(old.port)
    await wire.start()
    number = int(old.directory.name.rpartition("-")[2]) + 1
    standby = Server(cluster.directory / f"primary-{number}", free_port())
    try:
        await standby.follow(old, wire.port)
        await standby.start()
        await _streaming(old)
        wire.turn(Mode.STALL)
        await asyncio.sleep(scene.rng.uniform(0.5, 2.0) * scene.hold)
        scene.begun = time.time()
        await old.kill()
        lost = time.time()
    finally:
        await wire.close()
    for proxy in cluster.database.values():
        proxy.target = standby.port
    async with await psycopg.AsyncConnection.connect(standby.dsn(), autocommit=True) as connection:
        regained = time.time()
        await connection.execute("SELECT pg_promote(wait => true)")
    cluster.server = standby
    scene.failovers.append(Failover(old, lost, regained))


async def _streaming(primary: Server) -> None:
    """Wait until a standby follows closely."""
    async with await psycopg.AsyncConnection.connect(primary.dsn(DATABASE), autocommit=True) as connection:
        async with asyncio.timeout(90.0):
            while True:
                cursor = await connection.execute(
                    "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn IS NOT NULL"
                )
                if await cursor.fetchone():
                    return
                await asyncio.sleep(0.02)
