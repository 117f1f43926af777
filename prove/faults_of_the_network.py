"""Faults of the network: between everybody and the database, and between admins and routers.

The law: faults of the streams between admins and routers excuse no router at all, since the poll must do.
"""

from __future__ import annotations

import asyncio

from prove.proxy import Mode
from prove.scene import NOBODY, Run, Scene


def database_way(mode: Mode, seconds: float, *, all_of_them: bool = True) -> Run:
    """Disturb the way to the database: of everybody, or of one router."""

    async def run(scene: Scene) -> frozenset[str] | None:
        cluster = scene.cluster
        one = scene.rng.choice(cluster.routers).name
        chosen = [*cluster.database.values()] if all_of_them else [cluster.database[one]]
        to_server, to_client = scene.rng.choice(((True, True), (True, False), (False, True)))
        for proxy in chosen:
            proxy.turn(mode, to_server=to_server, to_client=to_client)
        try:
            await asyncio.sleep(seconds * scene.hold)
        finally:
            for proxy in chosen:
                proxy.turn(Mode.PASS)
        return None if all_of_them else frozenset({one})

    return run


async def database_way_reset(scene: Scene) -> None:
    """Cut every way to the database, several times."""
    for _ in range(5):
        for proxy in scene.cluster.database.values():
            proxy.reset()
        await asyncio.sleep(scene.rng.uniform(0.05, 0.5) * scene.hold)


def streams(mode: Mode, seconds: float) -> Run:
    """Disturb the way from admins to routers: hints are lost, the poll must do."""

    async def run(scene: Scene) -> frozenset[str]:
        chosen = scene.rng.sample(list(scene.cluster.streams.values()), k=2)
        to_server, to_client = scene.rng.choice(((True, True), (True, False), (False, True)))
        for proxy in chosen:
            proxy.turn(mode, to_server=to_server, to_client=to_client)
        try:
            await asyncio.sleep(seconds * scene.hold)
        finally:
            for proxy in chosen:
                proxy.turn(Mode.PASS)
        return NOBODY

    return run


async def streams_reset(scene: Scene) -> frozenset[str]:
    """Cut every stream, several times."""
    for _ in range(5):
        for proxy in scene.cluster.streams.values():
            proxy.reset()
        await asyncio.sleep(scene.rng.uniform(0.05, 0.5) * scene.hold)
    return NOBODY
