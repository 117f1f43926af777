"""Faults of admins and routers: killed, killed at a failpoint, frozen, with another time, without a disk, or a database.

The law: a process that is killed counts as broken until its successor says that it is ready. Faults of admins excuse no
router at all: nothing that a client sees may change.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from typing import Final

from prove.cluster import Member
from prove.proxy import Mode
from prove.records import Window
from prove.scene import NOBODY, Run, Scene

PAST_THE_LEASE: Final = 6.0
"""Seconds; a lease lasts five."""
_PAST_A_COPY: Final = 13.0
"""Seconds; while changes go on, a router writes a copy every ten."""
_JUMPS: Final = (3.0, 3_600.0, 86_400.0)
"""Seconds: less than a lease, and more than any key of the proof has left."""
_FAILPOINT_SECONDS: Final = 90.0


class FailpointMissingError(Exception):
    """A process did not die where it was told to."""


def admin_at(failpoint: str) -> Run:
    """Kill an admin at a failpoint, in the midst of its changes."""

    async def run(scene: Scene) -> frozenset[str]:
        admin = scene.rng.choice(scene.cluster.admins)
        admin.signal(signal.SIGTERM)
        await admin.gone()
        admin.launch({"TRUNKLINE_FAILPOINTS": f"{failpoint}=kill@{scene.rng.randrange(2, 6)}"})
        await admin.ready()
        scene.begun = time.time()
        try:
            await admin.gone(_FAILPOINT_SECONDS)
        except TimeoutError:
            raise FailpointMissingError(failpoint) from None
        finally:
            await again(admin)
        return NOBODY

    return run


async def admin_killed(scene: Scene) -> frozenset[str]:
    """Kill an admin at any moment."""
    admin = scene.rng.choice(scene.cluster.admins)
    admin.signal(signal.SIGKILL)
    await admin.gone()
    await asyncio.sleep(0.5 * scene.hold)
    await again(admin)
    return NOBODY


async def admin_frozen(scene: Scene) -> frozenset[str]:
    """Freeze an admin, perhaps with the head's lock in its hands, and let it go on."""
    admin = scene.rng.choice(scene.cluster.admins)
    async with _frozen(admin):
        await asyncio.sleep(4.0 * scene.hold)
    return NOBODY


async def router_killed(scene: Scene) -> frozenset[str]:
    """Kill a router, and start it again while its lease still lives."""
    router = scene.rng.choice(scene.cluster.routers)
    router.signal(signal.SIGKILL)
    await router.gone()
    await asyncio.sleep(scene.rng.uniform(0.0, 1.5) * scene.hold)
    await again(router)
    return frozenset({router.name})


async def router_frozen(scene: Scene) -> frozenset[str]:
    """Freeze a router for less than its lease."""
    router = scene.rng.choice(scene.cluster.routers)
    async with _frozen(router):
        await asyncio.sleep(scene.rng.uniform(0.5, 3.0) * scene.hold)
    return frozenset({router.name})


async def router_frozen_past_its_lease(scene: Scene) -> frozenset[str]:
    """Freeze a router for longer than its lease: meanwhile changes are called visible without it."""
    router = scene.rng.choice(scene.cluster.routers)
    async with _frozen(router):
        await asyncio.sleep(PAST_THE_LEASE)
    return frozenset({router.name})


async def disk_full(scene: Scene) -> frozenset[str]:
    """Let a router write nothing for longer than it waits until it writes a copy, while everything else goes on."""
    router = scene.rng.choice(scene.cluster.routers)
    router.signal(signal.SIGTERM)
    await router.gone()
    router.launch(piped=True)
    await router.ready()
    scene.windows.append(Window(scene.begun, time.time() + 1.0, frozenset({router.name}), "restart before a full disk"))
    scene.begun = time.time()
    router.limit_files(0)
    try:
        await asyncio.sleep(_PAST_A_COPY)
    finally:
        router.limit_files(-1)
    return NOBODY


async def clocks_jump(scene: Scene) -> frozenset[str]:
    """Set the wall clocks of an admin and of a router ahead, then back, then right: nobody may notice anything."""
    chosen = [scene.rng.choice(scene.cluster.admins), scene.rng.choice(scene.cluster.routers)]
    clocks = [member.clock for member in chosen if member.clock is not None]
    far = scene.rng.choice(_JUMPS)
    try:
        for seconds in (far, -far):
            for clock in clocks:
                clock.jump(seconds)
            await asyncio.sleep(3.0 * scene.hold)
    finally:
        for clock in clocks:
            clock.jump(0.0)
    return NOBODY


async def router_lost(scene: Scene) -> frozenset[str]:
    """Lose a router with the disk that it had, for longer than its lease: what comes after it has nothing but its name."""
    router = scene.rng.choice(scene.cluster.routers)
    router.signal(signal.SIGKILL)
    await router.gone()
    scene.cluster.lose_disk(router)
    await asyncio.sleep(PAST_THE_LEASE)
    await again(router)
    return frozenset({router.name})


async def admin_lost(scene: Scene) -> frozenset[str]:
    """Lose an admin for longer than any lease: the other carries every change alone."""
    admin = scene.rng.choice(scene.cluster.admins)
    admin.signal(signal.SIGKILL)
    await admin.gone()
    await asyncio.sleep(PAST_THE_LEASE)
    await again(admin)
    return NOBODY


async def cold_start_without_database(scene: Scene) -> frozenset[str]:
    """Kill a router that cannot reach the database: its successor serves, marked, from the copy on its disk."""
    router = scene.rng.choice(scene.cluster.routers)
    way = scene.cluster.database[router.name]
    way.turn(Mode.STALL)
    try:
        router.signal(signal.SIGKILL)
        await router.gone()
        router.launch()
        await router.ready()
        await asyncio.sleep(3.0 * scene.hold)
    finally:
        way.turn(Mode.PASS)
    return frozenset({router.name})


async def again(member: Member) -> None:
    """See that a process has ended, and have its successor ready."""
    member.signal(signal.SIGKILL)
    await member.gone()
    member.launch()
    await member.ready()


@contextlib.asynccontextmanager
async def _frozen(member: Member) -> AsyncIterator[None]:
    member.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        member.signal(signal.SIGCONT)
