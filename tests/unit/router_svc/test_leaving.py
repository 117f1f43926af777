"""Workers that never end by themselves: a cancellation ends them, whatever their session makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from router_svc.cache import Cache
from router_svc.direct import Direct
from router_svc.line import Line, LineDown
from router_svc.lineage import Lineage
from router_svc.lookups import Lookups
from router_svc.plan import Ask
from tests.harness.waiting import PATIENCE
from trunkline.secret import Secret


class BreakingLine(Line):
    """A line whose session fails at the moment when its user is cancelled, and says only that."""

    def __init__(self) -> None:
        super().__init__(Secret(""), silence=1.0)
        self.used = asyncio.Event()

    async def run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Wait for ever."""
        del work
        self.used.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LineDown("the connection was lost") from None


async def ends(task: asyncio.Task[None]) -> bool:
    """Cancel a task; tell whether it ends."""
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=PATIENCE)
    return bool(done)


async def test_lookups_end_though_the_cancellation_was_swallowed() -> None:
    """The loop looks whether it was cancelled before it goes on."""
    line = BreakingLine()
    lookups = Lookups(line, Lineage())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(lookups.run())
        tasks.create_task(lookups.wait_for(3, asyncio.get_running_loop().time() + 0.1))
        await line.used.wait()
        assert await ends(running)


async def test_direct_reads_end_though_the_cancellation_was_swallowed() -> None:
    """So does the worker of direct reads, and whoever waits is told."""
    direct, line = Direct(Secret(""), Cache(Secret(""), poll=1.0)), BreakingLine()
    direct._line = line
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(direct._work())
        reading = direct.join(Ask("m", group="default"))
        assert reading is not None
        await line.used.wait()
        assert await ends(running)
        assert await reading.wait(asyncio.get_running_loop().time() + 1.0) is None
