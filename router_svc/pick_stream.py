"""One `PickChannels` stream: messages of many picks, answered at once as far as can be, the rest later.

The law: each message is answered by one message, which names what was decided and what was deferred, and frees the slot.
Deferred picks come in later messages, each within its own time limit; a stream holds at most `MOST_DEFERRED`, and what is
beyond is UNVERIFIED at once. No plan waits behind a deferred pick.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from router_svc import metrics
from router_svc.desk import SHARE, Decided, Desk, Request
from router_svc.journal import Journal
from router_svc.pick_reader import PickReader, id_of
from router_svc.plan import Plan
from router_svc.plan_writer import PlanWriter
from router_svc.turns import Turns
from router_svc.wire import Asked, Asks
from trunkline.errors import Cause, FieldFault, InvalidFields, Unverified
from trunkline.v1 import router_pb2

MOST_DEFERRED: Final = 1_024
"""Picks that one stream may have waiting."""
MOST_PICKS: Final = 1_024
"""Picks of one message."""
_TOGETHER: Final = 128
"""Refusals that wait for each other until they travel in one message: a message costs as much as a dozen of them."""
_FULL: Final = Unverified(cause=Cause.TOO_MANY_WAITING)


def _slot(deferred: list[int]) -> bytes:
    return router_pb2.PickChannelsResponse(answers_request=True, deferred_ids=deferred).SerializeToString()


_SLOT: Final = _slot([])
"""What frees the slot when nothing waits, as nearly always."""

Send = Callable[[bytes], Awaitable[None]]
"""Takes a `PickChannelsResponse` as the bytes that travel."""


class PickStream:
    """The state of one stream."""

    def __init__(self, desk: Desk, asks: Asks, journal: Journal, writer: PlanWriter, send: Send) -> None:
        """Take what decides, what reads picks and notes decisions, what writes plans, and where answers go."""
        self._desk, self._asks, self._journal = desk, asks, journal
        self._reader, self._writer = PickReader(asks.read_item), writer
        self._send = send
        self._sending = asyncio.Lock()
        self._deferred = 0

    async def take(self, message: bytes, tasks: asyncio.TaskGroup) -> None:
        """Answer one message; what must wait goes on in a task."""
        arrival = time.monotonic()
        picks = self._reader.read(message)
        if len(picks) > MOST_PICKS:
            raise InvalidFields([FieldFault("items", f"are more than {MOST_PICKS}")])
        self._writer.begin()
        results: list[bytes] = []
        waiting: list[Request] = []
        turns = Turns(time.monotonic, SHARE)
        plans = 0
        for mark, asked in picks:
            if turns.over():
                await turns.end()
                self._writer.begin()  # the lease may have ended in that turn
            plans += self._take(mark, asked, arrival, results, waiting)
        if plans:
            self._journal.plans(plans)
        if results:
            metrics.PICK_SECONDS.observe(time.monotonic() - arrival, len(results))
        results.append(_slot([id_of(request.mark) for request in waiting]) if waiting else _SLOT)
        await self._write(results)
        if waiting:
            self._deferred += len(waiting)
            tasks.create_task(self._settle(waiting, arrival), name="deferred picks")
            await self._desk.make_way()  # the next message of a storm is read when others had their turns

    def _take(
        self, mark: bytes, asked: Asked | InvalidFields, arrival: float, results: list[bytes], waiting: list[Request]
    ) -> bool:
        """Answer one pick, or put it with those that must wait; tell whether it got a plan, which is yet to be noted.

        One that cannot be read is answered by its faults.
        """
        if isinstance(asked, InvalidFields):
            results.append(self._writer.result(mark, asked))
            return False
        request = Request(mark, self._asks.fresh(asked), asked.min_token, arrival + asked.time_limit)
        decided = self._desk.at_once(request, arrival)
        if decided is not None and isinstance(decided.decision, Plan):
            results.append(self._writer.result(mark, decided.decision))
            return True
        if decided is not None:
            results.append(self._answer(request, decided))
        elif self._deferred + len(waiting) >= MOST_DEFERRED:
            results.append(self._answer(request, Decided(_FULL, None)))
        else:
            waiting.append(request)
        return False

    async def _settle(self, waiting: list[Request], arrival: float) -> None:
        """Answer deferred picks: those decided in the same turn go in one message."""
        ready: list[bytes] = []
        wake = asyncio.Event()

        def give(request: Request, decided: Decided) -> None:
            self._deferred -= 1
            if plan := isinstance(decided.decision, Plan):
                self._writer.begin()  # here, where it is decided: a turn later the router may be trusted otherwise
            ready.append(self._answer(request, decided))
            if plan or len(ready) >= _TOGETHER:
                wake.set()

        async def forward(left: int) -> None:
            while left:
                await wake.wait()
                wake.clear()
                results = ready[:]
                ready.clear()
                left -= len(results)
                if results:
                    await self._write(results)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(forward(len(waiting)), name="deferred answers")
            await self._desk.settle(waiting, arrival, give, wake.set)

    def _answer(self, request: Request, decided: Decided) -> bytes:
        self._journal.note(request.ask, decided)
        return self._writer.result(request.mark, decided.decision)

    async def _write(self, parts: list[bytes]) -> None:
        """Send a message whose parts are messages themselves: protobuf reads them as one."""
        async with self._sending:  # gRPC takes one message at a time
            await self._send(b"".join(parts))
