"""One long-lived `PickChannels` stream: all picks of an event-loop turn in one message, one message in flight.

The law: an ask ends with an answer or with `StreamBroke`, never in silence. The router answers every message at once, naming
the picks it will decide later; a message that goes unanswered for `answer_limit` breaks the stream, so that its picks can be
asked elsewhere. How long a deferred pick may take is its asker's business.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, Final

import grpc

from relay_svc.deadlines import Deadlines
from relay_svc.plan import Plan
from relay_svc.router_client.wire import item_of, plan_from, refused_from
from trunkline.rpc import Dialled, read_refusal
from trunkline.v1 import router_pb2 as pb

MAX_BATCH: Final = 256
"""Most picks of one message. The protocol allows 1,024; a quarter keeps the answer, plans and all, far below gRPC's bound."""

ROUTERS_LIMIT: Final = 2.0
"""Seconds that a router takes to prove an answer unless told otherwise."""

WELL_FILLED: Final = 32
"""Picks past which a larger message saves nothing more."""
GATHER: Final = 0.0015
"""Seconds that picks are gathered before the next message, when the last one carried more than one."""
LATE: Final = 0.1
"""Seconds for the answer to a message, which a router gives without waiting for anything."""


def picks_call(dialled: Dialled) -> Any:
    """Open the call that a stream goes over: as the generated stub does, but its messages are written as bytes."""
    method = pb.DESCRIPTOR.services_by_name["RouterService"].methods_by_name["PickChannels"]
    open_call = dialled.channel.stream_stream(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=bytes,
        response_deserializer=pb.PickChannelsResponse.FromString,
    )
    return open_call(metadata=dialled.metadata)


class StreamBroke(Exception):  # noqa: N818 - a state: ask elsewhere
    """The stream ended before the answer came."""


class Answer(asyncio.Future[Plan]):
    """The answer to one pick: a plan; PickRefused, StreamBroke, or TimeoutError at its deadline."""

    def __init__(self, stream: "PickStream", number: int, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the answer to a pick."""
        super().__init__(loop=loop)
        self._stream, self._number = stream, number

    def cut(self) -> None:
        """End the wait: time is up."""
        self._stream.forget(self._number)
        if not self.done():
            self.set_exception(TimeoutError())

    def cancel(self, msg: Any = None) -> bool:
        """End the wait: nobody wants to know any more."""
        self._stream.forget(self._number)
        return super().cancel(msg)


class PickStream:
    """One stream's worth of picks; a broken stream is thrown away with it."""

    def __init__(self, address: str, answer_limit: float) -> None:
        """Take the router's address, and the longest wait for the answer to a message, in seconds."""
        self._address, self._answer_limit = address, answer_limit
        self._last = 0
        self._outbox: list[tuple[int, bytes]] = []
        self._waiting: dict[int, Answer] = {}
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()
        self._full = asyncio.Event()
        self._broken = False
        self.degraded = False
        """Whether the last plan said that its router is."""
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

    def ask(self, pick: bytes, time_limit: float, deadline: float) -> Answer:
        """Ask one pick; the router may take `time_limit` seconds to prove its answer. Raises StreamBroke."""
        if self._broken:
            raise StreamBroke
        self._last = number = self._last + 1
        deadlines = self._deadlines
        self._waiting[number] = answer = Answer(self, number, deadlines.loop)
        deadlines.begin(answer, deadline)
        outbox = self._outbox
        outbox.append((number, item_of(number, pick, None if time_limit == ROUTERS_LIMIT else time_limit)))
        if len(outbox) == 1:
            self._wake.set()
        elif len(outbox) == WELL_FILLED:
            self._full.set()
        return answer

    def forget(self, number: int) -> Answer | None:
        """Let go of a pick whose answer is here, or is wanted no more."""
        answer = self._waiting.pop(number, None)
        if answer is not None:
            self._deadlines.met(answer)
        return answer

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

    def _next_batch(self) -> list[bytes]:
        while self._outbox:  # a batch whose askers have all given up must not hide those behind it
            batch, self._outbox = self._outbox[:MAX_BATCH], self._outbox[MAX_BATCH:]
            if items := [item for number, item in batch if number in self._waiting]:  # whoever gave up is not asked for
                return items
        return []

    async def _exchange(self, call: Any, batch: list[bytes]) -> None:
        self._answered.clear()
        self._asked_at = self._deadlines.loop.time()
        with self._deadlines.within(self._answer_limit):
            await call.write(b"".join(batch))  # of one repeated field, a message is its items, one after another
            await self._answered.wait()

    async def _read(self, call: Any) -> None:
        while (response := await call.read()) is not grpc.aio.EOF:
            for result in response.results:
                answer = self.forget(result.id)
                if answer is not None and not answer.done():
                    self._settle(answer, result)
            if response.answers_request:
                self._asked_at = inf
                self._answered.set()
        raise StreamBroke

    def _settle(self, answer: Answer, result: pb.PickChannelsResponse.Result) -> None:
        try:
            if result.HasField("plan"):
                plan = plan_from(result.plan, self._address)
                self.degraded = plan.degraded
                answer.set_result(plan)
            else:
                answer.set_exception(refused_from(read_refusal(result.refusal)))
        except Exception as fault:  # noqa: BLE001 - one answer that makes no sense is its asker's; the stream's others go on
            answer.set_exception(fault)
