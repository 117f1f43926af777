"""What a real router takes by the size of its catalog: to load it, to hold it, to pick from it, to apply a change of it.

A change is one channel's weight, committed by itself and followed by the hint that an admin would send, so that its cost is
all that the router does for it: hint, read, apply, answer, and letting the old snapshot go.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from typing import Any, Final

import psycopg

from bench.processes import cpu_seconds, resident_mib
from bench.router.process import ADMIN_TOKEN, Running
from trunkline.rpc import dial
from trunkline.secret import Secret
from trunkline.v1 import revision_pb2, router_pb2_grpc
from trunkline.v1 import router_pb2 as pb

PICKS: Final = 32
"""Of one message."""
_ROUNDS: Final = 3
_SECONDS: Final = 1.5
_CHANGES: Final = 200  # of one round: the kernel counts CPU in hundredths of a second
_PATIENCE: Final = 30.0  # seconds for a change to be in force
_LOADED: Final = 'trunkline_router_load_seconds_sum{kind="full"}'
_CHANGE: Final = "UPDATE channels SET weight = weight %% 10 + 1 WHERE id = %s"
_HEAD: Final = "SELECT revision, encode(chain, 'hex') FROM catalog"


def measured(running: Running) -> dict[str, float]:
    """Tell seconds of the first load, MiB resident after it, and CPU µs a pick and a change."""
    loaded, resident = running.metrics()[_LOADED], resident_mib(running.pid)
    asyncio.run(_changes(running, _CHANGES // 10))
    running.call("stream", PICKS, _SECONDS)  # keys are opened, candidates written
    rounds = [(running.call("stream", PICKS, _SECONDS)["cpu_us"], _change(running)) for _ in range(_ROUNDS)]
    pick, change = map(statistics.median, zip(*rounds, strict=True))
    return {
        "full load, s": loaded,
        "resident after the load, MiB": resident,
        "resident at the end, MiB": resident_mib(running.pid),
        f"a pick, {PICKS} a message, CPU µs": pick,
        "a change of one channel, CPU µs": change,
    }


def measured_in(unit: str, columns: dict[str, list[float]]) -> dict[str, list[float]]:
    """Give the columns, named `what, unit`, of one unit, by what they measure."""
    parted = {name: name.rpartition(", ") for name in columns}
    return {what: columns[name] for name, (what, _, its) in parted.items() if its == unit}


def _change(running: Running) -> float:
    before = cpu_seconds([running.pid])
    asyncio.run(_changes(running, _CHANGES))
    return (cpu_seconds([running.pid]) - before) / _CHANGES * 1e6


async def _changes(running: Running, count: int) -> None:
    """Change one channel after another, each once the one before is in force."""
    dialled = dial(running.grpc, Secret(ADMIN_TOKEN))
    call: Any = router_pb2_grpc.RouterServiceStub(dialled.channel).Invalidate(metadata=dialled.metadata)
    async with await psycopg.AsyncConnection.connect(running.dsn, autocommit=True) as connection:
        for _ in range(count):
            await connection.execute(_CHANGE, (random.randint(1, running.channels),))
            head: Any = await (await connection.execute(_HEAD)).fetchone()
            async with asyncio.timeout(_PATIENCE):
                await call.write(pb.InvalidateRequest(head=revision_pb2.RevisionToken(revision=head[0], chain=head[1])))
                while (await call.read()).applied.revision < head[0]:
                    pass
    call.cancel()
    await dialled.channel.close()
