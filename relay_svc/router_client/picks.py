"""One long-lived `PickChannels` stream: all picks of an event-loop turn in one message, one message in flight.

The law: an ask ends with an answer or with `StreamBroke`, never in silence. The router answers every message at once, naming
the picks it will decide later; a message that goes unanswered for `answer_limit` breaks the stream, so that its picks can be
asked elsewhere. How long a deferred pick may take is its asker's business.
"""

import asyncio
import itertools
from collections.abc import Callable
from math import inf
from typing import Any, Final

import grpc

from relay_svc.deadlines import Deadlines
from relay_svc.router_client.wire import duration
from trunkline.v1 import router_pb2 as pb

MAX_BATCH: Final = 256
"""Most picks of one message. The protocol allows 1,024; a quarter keeps the answer, plans and all, far below gRPC's bound."""

ROUTERS_LIMIT: Final = 2.0
"""Seconds that a router takes to prove an answer unless told otherwise."""

WELL_FILLED: Final = 32
"""Picks past which a larger message saves nothing more."""
GATHER: Final = 0.0005
"""Seconds that picks are gathered before the next message, when the last one carried more than one."""
LATE: Final = 0.1
"""Seconds for the answer to a message, which a router gives without waiting for anything."""

Result = pb.PickChannelsResponse.Result


class StreamBroke(Exception):  # noqa: N818 - a state: ask elsewhere
    """The stream ended before the answer came."""


class PickStream:
    """One stream's worth of picks; a broken stream is thrown away with it."""

    def __init__(self, answer_limit: float) -> None:
        """Take the longest wait for the answer to a message, in seconds."""
        self._answer_limit = answer_limit
        self._ids = itertools.count(1)
        self._outbox: list[pb.PickChannelsRequest.Item] = []
        self._waiting: dict[int, asyncio.Future[Result]] = {}
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()
        self._full = asyncio.Event()
        self._broken = False
        self._asked_at = inf
        """When the message went out that is not answered yet."""
        self._deadlines = Deadlines()

    @property
    def in_flight(self) -> int:
        """How many picks wait for their answers."""
        return len(self._waiting)

    @property
    def late(self) -> bool:
        """Whether the answer to a message is overdue: the stream still stands, but others are asked rather."""
        return self._deadlines.loop.time() - self._asked_at > LATE

    @property
    def broken(self) -> bool:
        """Whether the stream is over."""
        return self._broken

    async def ask(self, pick: pb.Pick, time_limit: float) -> Result:
        """Ask one pick; the router may take `time_limit` seconds to prove its answer. Raises StreamBroke."""
        if self._broken:
            raise StreamBroke
        number = next(self._ids)
        answer: asyncio.Future[Result] = self._deadlines.loop.create_future()
        self._waiting[number] = answer
        limit = None if time_limit == ROUTERS_LIMIT else duration(time_limit)
        self._outbox.append(pb.PickChannelsRequest.Item(id=number, pick=pick, time_limit=limit))
        self._wake.set()
        if len(self._outbox) == WELL_FILLED:
            self._full.set()
        try:
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def run(self, call: Any, opened: Callable[[], None]) -> None:
        """Carry picks over a call until it breaks; `opened` is called once the router has answered a first, empty message.

        Always ends by raising: StreamBroke, TimeoutError, a gRPC error or cancellation, alone or in a group.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(call), name="read answers")
                await self._exchange(call, [])
                opened()
                await self._write(call)
        finally:
            call.cancel()
            self._broken = True
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(StreamBroke())

    async def _write(self, call: Any) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch := self._next_batch():
                await self._exchange(call, batch)
                if len(batch) > 1:  # under load, where the time is made up for by what it saves; one alone never waits
                    await self._gather()

    async def _gather(self) -> None:
        """Let more picks come, for a moment or until they fill a message well."""
        if len(self._outbox) < WELL_FILLED:
            self._full.clear()
            late = self._deadlines.loop.call_later(GATHER, self._full.set)
            await self._full.wait()
            late.cancel()

    def _next_batch(self) -> list[pb.PickChannelsRequest.Item]:
        batch, self._outbox = self._outbox[:MAX_BATCH], self._outbox[MAX_BATCH:]
        return [item for item in batch if item.id in self._waiting]  # whoever gave up is not asked for

    async def _exchange(self, call: Any, batch: list[pb.PickChannelsRequest.Item]) -> None:
        self._answered.clear()
        self._asked_at = self._deadlines.loop.time()
        with self._deadlines.within(self._answer_limit):
            await call.write(pb.PickChannelsRequest(items=batch))
            await self._answered.wait()

    async def _read(self, call: Any) -> None:
        while (response := await call.read()) is not grpc.aio.EOF:
            for result in response.results:
                answer = self._waiting.get(result.id)
                if answer is not None and not answer.done():
                    answer.set_result(result)
            if response.answers_request:
                self._asked_at = inf
                self._answered.set()
        raise StreamBroke
