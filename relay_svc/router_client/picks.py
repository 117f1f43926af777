"""One long-lived `PickChannels` stream: all picks of an event-loop turn in one message, one message in flight.

The law: an ask ends with an answer or with `StreamBroke`, never in silence. The router answers every message at once, naming
the picks it will decide later; a message that goes unanswered for `answer_limit` breaks the stream, so that its picks can be
asked elsewhere. How long a deferred pick may take is its asker's business.
"""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, Final, Protocol

from relay_svc.deadlines import Deadlines
from relay_svc.plan import Plan
from relay_svc.router_client.wire import item_of, plan_from, refused_from
from trunkline.rpc import read_refusal
from trunkline.v1 import router_pb2 as pb

MAX_BATCH: Final = 256
"""Most picks of one message. The protocol allows 1,024; a quarter keeps the answer, plans and all, far below gRPC's bound."""

MOST_BYTES: Final = 2 << 20
"""Bytes of a message at most, half of what a router takes: one that is too large would break the stream for every client."""
_SURELY_SMALL: Final = 32
"""Picks that never come to so many bytes, with the longest names and all the channels that may be excluded."""

ROUTERS_LIMIT: Final = 2.0
"""Seconds that a router takes to prove an answer unless told otherwise."""

CROWD: Final = 8
"""Picks of a message behind which more are gathered: fewer are asked at once, as if no others were coming."""
WELL_FILLED: Final = 64
"""Picks past which a larger message saves nothing more."""
GATHER: Final = 0.002
"""Seconds that picks are gathered before the next message, when the last one carried a crowd."""
LATE: Final = 0.1
"""Seconds for the answer to a message, which a router gives without waiting for anything."""


class PickCall(Protocol):
    """The call that a stream goes over; messages are `PickChannelsRequest`s as bytes."""

    ended: asyncio.Future[None]
    """Fails when the call is over."""

    def write(self, message: bytes) -> None:
        """Send a message."""
        ...

    def cancel(self, why: str) -> None:
        """End the call."""
        ...


Connect = Callable[[Callable[[bytes], None]], Awaitable[PickCall]]
"""Opens a call whose messages (`PickChannelsResponse`s as bytes) are given to what it takes. Raises CallEnded."""


class StreamBroke(Exception):  # noqa: N818 - a state: ask elsewhere
    """The stream ended before the answer came."""


class Answer(asyncio.Future[Plan]):
    """The answer to one pick: a plan; PickRefused, StreamBroke, or TimeoutError at its deadline."""

    stream: "PickStream"
    number: int

    def cut(self) -> None:
        """End the wait: time is up."""
        self.stream.forget(self.number)
        if not self.done():
            self.set_exception(TimeoutError())

    def cancel(self, msg: Any = None) -> bool:
        """End the wait: nobody wants to know any more."""
        self.stream.forget(self.number)
        return super().cancel(msg)


class PickStream:
    """One stream's worth of picks; a broken stream is thrown away with it."""

    def __init__(self, address: str, answer_limit: float) -> None:
        """Take the router's address, and the longest wait for the answer to a message, in seconds."""
        self._address, self._answer_limit = address, answer_limit
        self._last = 0
        self._outbox: list[tuple[int, bytes]] = []
        self._waiting: dict[int, Answer] = {}
        self._call: PickCall | None = None
        self._broken = False
        self.degraded = False
        """Whether the last plan said that its router is."""
        self._asked_at = inf
        """When the message went out that is not answered yet."""
        self._crowd = False
        """Whether it holds a crowd of picks."""
        self._next: asyncio.Handle | None = None
        """What will send the next message; none is meant to be sent while one is on its way."""
        self._deadlines = Deadlines()
        self._opened: Callable[[], None] | None = None

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
        self._waiting[number] = answer = Answer(loop=deadlines.loop)
        answer.stream, answer.number = self, number
        deadlines.begin(answer, deadline)
        outbox = self._outbox
        outbox.append((number, item_of(number, pick, None if time_limit == ROUTERS_LIMIT else time_limit)))
        if self._asked_at == inf:
            if self._next is None:
                self._next = deadlines.loop.call_soon(self._send)  # with whatever else this turn of the loop asks
            elif len(outbox) == WELL_FILLED:
                self._send_soon()
        return answer

    def forget(self, number: int) -> Answer | None:
        """Let go of a pick whose answer is here, or is wanted no more."""
        answer = self._waiting.pop(number, None)
        if answer is not None:
            self._deadlines.met(answer)
        return answer

    async def run(self, connect: Connect, opened: Callable[[], None]) -> None:
        """Carry picks over a call until it breaks; `opened` is called once the router has answered a first, empty message.

        Always ends by raising: StreamBroke, CallEnded or cancellation.
        """
        self._opened = opened
        try:
            self._call = call = await connect(self._hear)
            self._ask(b"")
            await call.ended
        finally:
            self._break("no longer wanted")

    def cut(self) -> None:
        """End the stream: a message went unanswered for too long."""
        self._break("a message went unanswered")

    def _break(self, why: str) -> None:
        self._broken = True
        self._deadlines.met(self)
        if self._next is not None:
            self._next.cancel()
        if self._call is not None:
            self._call.cancel(why)
        for number in list(self._waiting):
            answer = self.forget(number)
            if answer is not None and not answer.done():
                answer.set_exception(StreamBroke())

    # ------------------------------------------------------------ messages

    def _send_soon(self) -> None:
        if self._next is not None:
            self._next.cancel()
        self._next = self._deadlines.loop.call_soon(self._send)

    def _send(self) -> None:
        """Send the next message, if there is something to ask."""
        self._next = None
        if batch := self._next_batch():
            self._crowd = len(batch) >= CROWD
            self._ask(b"".join(batch))  # of one repeated field, a message is its items, one after another

    def _ask(self, message: bytes) -> None:
        deadlines = self._deadlines
        self._asked_at = deadlines.loop.time()
        deadlines.begin(self, self._asked_at + self._answer_limit)
        assert self._call is not None  # noqa: S101 - nothing is asked before the call is open
        self._call.write(message)

    def _next_batch(self) -> list[bytes]:
        while self._outbox:  # a batch whose askers have all given up must not hide those behind it
            size = min(len(self._outbox), MAX_BATCH)
            if size > _SURELY_SMALL:
                size = _fitting(self._outbox, size)
            batch, self._outbox = self._outbox[:size], self._outbox[size:]
            if items := [item for number, item in batch if number in self._waiting]:  # whoever gave up is not asked for
                return items
        return []

    def _hear(self, message: bytes) -> None:
        response = pb.PickChannelsResponse.FromString(message)
        for result in response.results:
            answer = self.forget(result.id)
            if answer is not None and not answer.done():
                self._settle(answer, result)
        if response.answers_request and self._asked_at != inf:  # else nothing was asked
            self._answered()

    def _answered(self) -> None:
        """Go on with the next message; under load, where that saves more time than it takes, more picks may come for it."""
        self._asked_at = inf
        self._deadlines.met(self)
        if self._opened is not None:
            opened, self._opened = self._opened, None
            opened()
        if self._crowd:
            self._next = self._deadlines.loop.call_soon(self._gather)  # when those who were answered have gone on
        elif self._outbox:  # few never wait
            self._send_soon()

    def _gather(self) -> None:
        """Let more picks come, for a moment or until they fill a message well."""
        if len(self._outbox) < WELL_FILLED:
            self._next = self._deadlines.loop.call_later(GATHER, self._send)
        else:
            self._send()

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


def _fitting(outbox: list[tuple[int, bytes]], most: int) -> int:
    """How many of the first items, one at least, a message can carry."""
    size = 0
    for place in range(most):
        size += len(outbox[place][1])
        if size > MOST_BYTES:
            return max(1, place)
    return most
