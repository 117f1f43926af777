"""Reads that picks share, without a database."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from router_svc.cache import Cache
from router_svc.direct import _LONG, _QUEUE, Direct
from router_svc.line import Line, LineDown
from router_svc.plan import Ask
from tests.harness.waiting import PATIENCE
from trunkline.secret import Secret


class HeldLine(Line):
    """A session that says nothing until it is let go, and then fails."""

    def __init__(self) -> None:
        super().__init__(Secret("no dsn"), silence=1.0)
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()

    async def run(self, _work: object) -> NoReturn:
        """Begin, and wait."""
        self.begun.set()
        await self.let_go.wait()
        raise LineDown("let go")


def direct() -> Direct:
    """Reads for a cache that holds nothing."""
    dsn = Secret("no dsn")
    return Direct(dsn, Cache(dsn, poll=1.0))


async def test_a_pick_joins_only_a_read_that_has_not_begun() -> None:
    """What one that runs will bring may be older than the pick."""
    reads, line = direct(), HeldLine()
    reads._line = line
    first = reads.join(Ask("m", group="default"))
    assert reads.join(Ask("n", group="default")) is first
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        working = tasks.create_task(reads._work())
        await line.begun.wait()
        second = reads.join(Ask("m", group="default"))
        assert second is not None
        assert second is not first
        assert reads.join(Ask("o", group="default")) is second
        line.let_go.set()
        await second.done.wait()
        working.cancel()
    assert second.part is None
    assert reads.failing


async def test_reads_that_wait_are_bounded_each_and_all_of_them() -> None:
    """Long names fill reads, and past so many reads there is none to join."""
    reads = direct()
    joined = [reads.join(Ask(f"{number}-{'x' * _LONG}", group="default")) for number in range(_QUEUE + 2)]
    assert [read is not None for read in joined] == [True] * _QUEUE + [False] * 2
    assert all(len(read.models) == 1 for read in joined if read is not None)
