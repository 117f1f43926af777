"""Faults of secrets: services that differ in them, and a rotation in whatever order the services come to it.

Law: a service whose secrets are not the catalog's does not serve; one that cannot open a key yet says "not now" at worst.
"""

from __future__ import annotations

import asyncio
import base64
import random
import signal
from typing import Final

from prove.cluster import Member
from prove.faults_of_processes import again
from prove.scene import Scene

_FOREIGN_SECONDS: Final = 4.0
_KEYS: Final = "TRUNKLINE_ENCRYPTION_KEYS"


async def router_with_foreign_secrets(scene: Scene) -> frozenset[str]:
    """Start a router with another pepper, or another key under the same id: it must not answer by what it cannot read."""
    router = scene.rng.choice(scene.cluster.routers)
    foreign = scene.rng.choice(
        (
            {"TRUNKLINE_PEPPER": f"foreign-pepper-{scene.rng.getrandbits(128):032x}"},
            {_KEYS: ",".join(f"{name}:{_drawn(scene.rng)}" for name in _names(router))},
        )
    )
    router.signal(signal.SIGTERM)
    await router.gone()
    try:
        router.launch(foreign)
        await asyncio.sleep(_FOREIGN_SECONDS * scene.hold)
    finally:
        await again(router)
    return frozenset({router.name})


async def encryption_key_rotated(scene: Scene) -> None:
    """Give every service a new first key, one after another in any order: new channel keys are sealed by it meanwhile."""
    cluster = scene.cluster
    keys = f"k{scene.rng.getrandbits(32):08x}:{_drawn(scene.rng)},{cluster.admins[0].environment[_KEYS]}"
    for member in scene.rng.sample(cluster.members, len(cluster.members)):
        member.environment = {**member.environment, _KEYS: keys}
        member.signal(signal.SIGTERM)
        await member.gone()
        member.launch()
        # Ready or not: some come before the others have the key, and may have to wait for it.
        await asyncio.sleep(scene.rng.uniform(0.2, 1.0) * scene.hold)
    for member in cluster.members:
        await member.ready()


def _names(member: Member) -> list[str]:
    return [entry.partition(":")[0] for entry in member.environment[_KEYS].split(",")]


def _drawn(rng: random.Random) -> str:
    return base64.b64encode(rng.randbytes(32)).decode()
