"""How long a pick may wait for its turn while the catalog is read whole: `python -m bench.router.stalls DSN`.

The real cache follows a real database in this process, and a watcher notes every turn of its event loop. A pick that comes at
any moment waits for the rest of the turn it comes in, so of turns that take L1, L2, … the share of picks that wait longer
than x is the sum of what each has beyond x, over the sum of all. Turns are told by the clock, and by this thread's CPU time,
which other processes of a busy machine do not make longer. Prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.processes import resident_mib
from router_svc.cache import Cache
from trunkline.database import with_bounds
from trunkline.secret import Secret
from trunkline.telemetry import configure


class Watcher:
    """Notes how long turns take."""

    def __init__(self) -> None:
        """Begin with none."""
        self.clock: list[float] = []
        self.cpu: list[float] = []
        self.peak = 0.0
        """Resident MiB at most."""

    async def watch(self) -> None:
        """Note turns until cancelled."""
        looked = 0.0
        while True:
            clock, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0)
            self.clock.append(time.perf_counter() - clock)
            self.cpu.append(time.thread_time() - cpu)
            if clock - looked > 0.02:  # seconds
                looked, self.peak = clock, max(self.peak, resident_mib(os.getpid()))

    def told(self) -> dict[str, float]:
        """Tell how long picks wait, in milliseconds."""
        return {
            "clock_p999_ms": waited(self.clock, 0.999),
            "cpu_p999_ms": waited(self.cpu, 0.999),
            "longest_cpu_ms": max(self.cpu) * 1e3,
            "peak_mib": self.peak,
        }


def waited(turns: list[float], share: float) -> float:
    """How many milliseconds that share of picks waits at most, if they come at any moment."""
    allowed = sum(turns) * (1 - share)
    low, high = 0.0, max(turns)
    for _ in range(40):
        middle = (low + high) / 2
        beyond = sum(turn - middle for turn in turns if turn > middle)
        low, high = (middle, high) if beyond > allowed else (low, middle)
    return high * 1e3


async def watched(work: Callable[[], Awaitable[object]]) -> dict[str, float]:
    """Do some work, and tell of the turns meanwhile."""
    watcher = Watcher()
    watching = asyncio.get_running_loop().create_task(watcher.watch())
    began = time.perf_counter()
    await work()
    seconds = time.perf_counter() - began
    watching.cancel()
    return {**watcher.told(), "seconds": seconds}


async def main(dsn: str, reloads: int) -> dict[str, Any]:
    """Load once from nothing, then again and again upon what is held."""
    cache = Cache(with_bounds(Secret(dsn), "bench", statement_timeout=60.0, lock_timeout=60.0), poll=1.0)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cache.run(stop))
        first = await watched(cache.applied.next)
        await asyncio.sleep(1.0)
        resident = [resident_mib(os.getpid())]
        again = []
        for _ in range(reloads):
            cache.distrust()
            again.append(await watched(cache.applied.next))
            await asyncio.sleep(2.0)  # the old one is let go
            resident.append(resident_mib(os.getpid()))
        stop.set()
    return {"first": first, "again": again, "resident_mib": resident}


if __name__ == "__main__":
    configure("bench", "warning", "json")
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2])))))
