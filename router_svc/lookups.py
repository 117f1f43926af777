"""Asks the database about revisions older than the history kept in memory.

The law: one worker asks, callers only wait for it, each within its own deadline, so a caller that gives up or is cancelled
leaves no query behind. What comes back is kept in the lineage; callers look there again.
"""

import asyncio
from functools import partial
from typing import Final

from router_svc import catalog
from router_svc.line import Line, LineDown, leaving
from router_svc.lineage import Lineage
from router_svc.snapshot import Token

_WAITING: Final = 256  # revisions asked about at a time, at most


class Lookups:
    """Looks up the chains of old revisions."""

    def __init__(self, line: Line, lineage: Lineage) -> None:
        """Take a line of its own, and where answers are kept."""
        self._line, self._lineage = line, lineage
        self._wanted: asyncio.Queue[int] = asyncio.Queue(_WAITING)
        self._asked: dict[int, asyncio.Event] = {}

    async def wait_for(self, revision: int, deadline: float) -> None:
        """Wait until a revision was looked up, found or not, or the lookup failed; at most until the deadline."""
        asked = self._asked.get(revision)
        if asked is None:
            if self._wanted.full():
                return
            asked = self._asked[revision] = asyncio.Event()
            self._wanted.put_nowait(revision)
        try:
            async with asyncio.timeout_at(deadline):
                await asked.wait()
        except TimeoutError:
            return

    async def run(self) -> None:
        """Look up what is asked for, until cancelled."""
        while not leaving():
            revision = await self._wanted.get()
            try:
                chain = await self._line.run(partial(catalog.read_chain, revision=revision))
            except LineDown:
                pass  # whoever waits asks again while it has time
            else:
                if chain is None:
                    self._lineage.forget_until(revision)
                else:
                    self._lineage.remember(Token(revision, chain))
            finally:
                self._asked.pop(revision).set()
