"""One `PickChannels` stream: messages of many picks, answered at once as far as can be, the rest later.

The law: each message is answered by one message, which names what was decided and what was deferred, and frees the slot.
Deferred picks come in later messages, each within its own time limit; a stream holds at most `MOST_DEFERRED`, and what is
beyond is UNVERIFIED at once. No plan waits behind a deferred pick.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from router_svc import metrics, wire
from router_svc.desk import TURN, Decided, Desk, Request
from router_svc.journal import Journal
from trunkline.errors import FieldFault, InvalidFields, Refused, Unverified
from trunkline.rpc import refusal_of
from trunkline.v1 import router_pb2

MOST_DEFERRED: Final = 1_024
"""Picks that one stream may have waiting."""
MOST_PICKS: Final = 1_024
"""Picks of one message."""

Result = router_pb2.PickChannelsResponse.Result
Send = Callable[[router_pb2.PickChannelsResponse], Awaitable[None]]


class PickStream:
    """The state of one stream."""

    def __init__(self, desk: Desk, asks: wire.Asks, journal: Journal, writer: wire.PlanWriter, send: Send) -> None:
        """Take what decides, what reads picks and notes decisions, what writes plans, and where answers go."""
        self._desk, self._asks, self._journal = desk, asks, journal
        self._writer = writer
        self._send = send
        self._sending = asyncio.Lock()
        self._deferred = 0

    async def take(self, message: router_pb2.PickChannelsRequest, tasks: asyncio.TaskGroup) -> None:
        """Answer one message; what must wait goes on in a task."""
        arrival = time.monotonic()
        if len(message.items) > MOST_PICKS:
            raise InvalidFields([FieldFault("items", f"are more than {MOST_PICKS}")])
        answer = router_pb2.PickChannelsResponse(answers_request=True)
        self._writer.begin()
        waiting: list[Request] = []
        for number, item in enumerate(message.items, 1):
            if number % TURN == 0:
                await asyncio.sleep(0)
                self._writer.begin()  # the lease may have ended in that turn
            request = self._request(item, arrival, answer)
            if request is None:
                continue
            decided = self._desk.at_once(request, arrival)
            if decided is not None:
                self._answer(request, decided, answer)
            elif self._deferred + len(waiting) >= MOST_DEFERRED:
                full = Unverified(cause=f"{MOST_DEFERRED} picks of this stream are waiting")
                self._answer(request, Decided(full, None), answer)
            else:
                waiting.append(request)
                answer.deferred_ids.append(item.id)
        if answer.results:
            metrics.PICK_SECONDS.observe(time.monotonic() - arrival, len(answer.results))
        await self._write(answer)
        if waiting:
            self._deferred += len(waiting)
            tasks.create_task(self._settle(waiting, arrival), name="deferred picks")

    def _request(
        self, item: router_pb2.PickChannelsRequest.Item, arrival: float, answer: router_pb2.PickChannelsResponse
    ) -> Request | None:
        """Read a pick; one that cannot be read is answered by its faults."""
        try:
            ask = self._asks.ask(item.pick)
        except InvalidFields as refused:
            answer.results.append(Result(id=item.id, refusal=refusal_of(refused)))
            return None
        limit = wire.time_limit_of(item.time_limit if item.HasField("time_limit") else None, None)
        return Request(item.id, ask, wire.min_token_of(item.pick), arrival + limit)

    async def _settle(self, waiting: list[Request], arrival: float) -> None:
        """Answer deferred picks: those decided in the same turn go in one message."""
        ready = [router_pb2.PickChannelsResponse()]
        wake = asyncio.Event()

        def give(request: Request, decided: Decided) -> None:
            self._deferred -= 1
            self._writer.begin()  # here, where it is decided: a turn later the router may be trusted otherwise
            self._answer(request, decided, ready[0])
            wake.set()

        async def forward(left: int) -> None:
            while left:
                await wake.wait()
                wake.clear()
                answer, ready[0] = ready[0], router_pb2.PickChannelsResponse()
                left -= len(answer.results)
                await self._write(answer)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(forward(len(waiting)), name="deferred answers")
            await self._desk.settle(waiting, arrival, give)

    def _answer(self, request: Request, decided: Decided, answer: router_pb2.PickChannelsResponse) -> None:
        """Write a decision into a message, in place: a copy of a plan costs as much as writing it."""
        self._journal.note(request.ask, decided)
        result = answer.results.add()
        result.id = request.id
        decision = decided.decision
        if isinstance(decision, Refused):
            result.refusal.CopyFrom(refusal_of(decision))
        else:
            self._writer.write(decision, result.plan)

    async def _write(self, answer: router_pb2.PickChannelsResponse) -> None:
        async with self._sending:  # gRPC takes one message at a time
            await self._send(answer)
