"""One long-lived `ReportOutcomes` stream: what came of a router's candidates, in batches, off the request path.

The law: `add` never waits. The queue is bounded, what does not fit is dropped and counted, and so is a batch whose
acknowledgement never came: an outcome told twice would count twice.
"""

import asyncio
from collections import deque
from typing import Any, Final

import grpc

from relay_svc import metrics
from relay_svc.plan import Outcome
from relay_svc.router_client.wire import report_of

MAX_BATCH: Final = 1024
"""Most outcomes of one message: the protocol's bound."""
_GATHER: Final = 0.1
"""Seconds that outcomes are gathered before a message goes out."""


class OutcomeStream:
    """The outcomes meant for one router; they outlive a broken connection."""

    def __init__(self, bound: int, ack_limit: float) -> None:
        """Take the most outcomes kept, and the longest wait for an acknowledgement in seconds."""
        self._bound, self._ack_limit = bound, ack_limit
        self._queue: deque[Outcome] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurry = asyncio.Event()

    def add(self, outcome: Outcome) -> None:
        """Queue an outcome."""
        if len(self._queue) >= self._bound:
            metrics.OUTCOMES_DROPPED.inc()
            return
        self._queue.append(outcome)
        self._idle.clear()
        self._wake.set()

    async def flush(self) -> None:
        """Wait until all that was added is acknowledged or lost."""
        self._hurry.set()
        await self._idle.wait()

    def drop_all(self) -> None:
        """Give up what is queued."""
        metrics.OUTCOMES_DROPPED.inc(len(self._queue))
        self._queue.clear()
        self._idle.set()

    async def run(self, call: Any) -> None:
        """Carry outcomes over a call until it breaks. Always ends by raising."""
        if self._queue:  # left by a connection that broke
            self._wake.set()
        try:
            while True:
                await self._wake.wait()
                await self._gather()
                self._wake.clear()
                while self._queue:
                    await self._send(call)
                self._idle.set()
        finally:
            call.cancel()

    async def _gather(self) -> None:
        try:
            async with asyncio.timeout(_GATHER):
                await self._hurry.wait()
        except TimeoutError:
            pass

    async def _send(self, call: Any) -> None:
        batch = [self._queue.popleft() for _ in range(min(MAX_BATCH, len(self._queue)))]
        acknowledged = False
        try:
            async with asyncio.timeout(self._ack_limit):
                await call.write(report_of(batch))
                if await call.read() is grpc.aio.EOF:
                    raise EOFError
            acknowledged = True
        finally:
            if not acknowledged:
                metrics.OUTCOMES_DROPPED.inc(len(batch))
