"""The wire between admins and routers: twins of a gRPC channel and of the two ends of an `Invalidate` stream.

The law: `link` and `invalidation` run unchanged upon this. A message takes time and arrives in order, unless the weather
drops, doubles, delays or reorders it; a stream may break at any moment, and each end learns of it by itself.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import grpc

from router_svc.invalidation import InvalidationStream
from router_svc.streams import refusals_alone
from tests.simulation.virtual import Process, Universe
from trunkline.errors import Refused
from trunkline.v1 import router_pb2

_LATENCY: Final = (0.0002, 0.002)
_DELAY: Final = (0.02, 0.6)
NEVER: Final = -1.0


class Listening(Protocol):
    """A router that streams can reach."""

    process: Process

    def serves(self, send: Any) -> tuple[InvalidationStream, asyncio.Event]:
        """Give the router's end of a new stream, and what tells it to drain."""
        ...


class Wires:
    """All streams there are, and their weather."""

    def __init__(self, universe: Universe, rng: random.Random) -> None:
        self.universe, self.rng = universe, rng
        self.routers: dict[str, Listening] = {}
        """Those that listen, by address."""
        self.streams: list[Stream] = []
        self.dropping = self.doubling = self.delaying = self.reordering = self.refusing = NEVER

    def clear(self) -> None:
        """Let the sun shine."""
        self.dropping = self.doubling = self.delaying = self.reordering = self.refusing = NEVER

    def cut(self) -> None:
        """Break one stream."""
        if self.streams:
            self.rng.choice(self.streams).break_off()

    def gone(self, process: Process) -> None:
        """Break all streams of a process that died."""
        for stream in self.streams[:]:
            if process in (stream.caller, stream.router.process if stream.router else None):
                stream.break_off()

    def latency(self) -> float:
        """Give the seconds that one message takes."""
        delayed = self.universe.now < self.delaying and self.rng.random() < 0.5
        return self.rng.uniform(*(_DELAY if delayed else _LATENCY))

    def copies(self) -> int:
        """Tell how many of a message arrive."""
        if self.universe.now < self.dropping and self.rng.random() < 0.4:
            return 0
        return 2 if self.universe.now < self.doubling and self.rng.random() < 0.4 else 1


class _Inbox:
    """Messages that arrived at one end, and how it ended."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._messages: deque[Any] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self.error: Exception | None = None
        self.at_end = False

    def put(self, message: Any) -> None:
        self._messages.append(message)
        self._wake()

    def end(self, error: Exception | None) -> None:
        self.error, self.at_end = error, True
        self._wake()

    async def get(self) -> Any:
        """Give the next message; None at the end. Raises what the stream ended of."""
        while not self._messages and not self.at_end:
            self._waiting = self._process.create_future()
            await self._waiting
        if self._messages:
            return self._messages.popleft()
        if self.error is not None:
            raise self.error
        return None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class _Way:
    """One direction of a stream."""

    def __init__(self, wires: Wires, inbox: _Inbox) -> None:
        self._wires, self._inbox = wires, inbox
        self._last = 0.0

    def send(self, message: Any) -> None:
        universe = self._wires.universe
        for _ in range(self._wires.copies()):
            when = universe.now + self._wires.latency()
            if universe.now >= self._wires.reordering:
                when = self._last = max(when, self._last)
            universe.put(when, None, lambda: self._inbox.put(message))


class Stream:
    """One `Invalidate` stream. What `link` holds of it is this object; the router's end is a task of the router's."""

    def __init__(self, wires: Wires, caller: Process, address: str) -> None:
        self.caller, self.router = caller, wires.routers.get(address)
        self._wires, self._address = wires, address
        self._words = _Inbox(caller)
        self._hints: _Way | None = None
        self._early: list[Any] = []
        self._handler: asyncio.Task[None] | None = None
        self._over = False
        wires.streams.append(self)
        wires.universe.after(wires.latency(), self._arrive)

    # ------------------------------------------------------------------ the caller's end, as grpc.aio has it

    async def read(self) -> Any:
        """Give the router's next word; EOF at the end. Raises AioRpcError."""
        word = await self._words.get()
        return grpc.aio.EOF if word is None else word

    async def write(self, hint: Any) -> None:
        """Send a hint. Raises AioRpcError."""
        if self._words.at_end:
            raise self._words.error or asyncio.InvalidStateError("the stream has ended")
        if self._hints is None:
            self._early.append(hint)
        else:
            self._hints.send(hint)

    def cancel(self) -> None:
        """End the stream."""
        self.break_off()

    # ------------------------------------------------------------------ the wire

    def break_off(self) -> None:
        """Break the stream; each end learns of it after a while."""
        if self._over:
            return
        self._over = True
        self._wires.streams.remove(self)
        universe, wires = self._wires.universe, self._wires
        universe.after(wires.latency(), lambda: self._words.end(_unavailable("the stream was cut")))
        if self._handler is not None:
            universe.after(wires.latency(), self._handler.cancel)

    def _arrive(self) -> None:
        router = self.router = self._wires.routers.get(self._address)
        if self._over:
            return
        if router is None or router.process.dead or self._wires.universe.now < self._wires.refusing:
            self.break_off()
            return
        inbox = _Inbox(router.process)
        self._hints, back = _Way(self._wires, inbox), _Way(self._wires, self._words)
        for hint in self._early:
            self._hints.send(hint)
        self._handler = router.process.create_task(self._serve(router, inbox, back))

    async def _serve(self, router: Listening, inbox: _Inbox, back: _Way) -> None:
        async def send(word: router_pb2.InvalidateResponse) -> None:
            if not self._over:
                back.send(word)

        serving, drain = router.serves(send)
        try:
            async with refusals_alone(lambda: self._over):
                await serving.serve(_Hints(inbox), drain)
        except Refused:
            self.break_off()
        else:
            if not self._over:
                self._wires.universe.after(self._wires.latency() + _DELAY[1], lambda: self._words.end(None))
                self._over = True
                self._wires.streams.remove(self)


class _Hints:
    """The router's side of what the caller sends."""

    def __init__(self, inbox: _Inbox) -> None:
        self._inbox = inbox

    def __aiter__(self) -> _Hints:
        return self

    async def __anext__(self) -> router_pb2.InvalidateRequest:
        hint: router_pb2.InvalidateRequest | None = await self._inbox.get()
        if hint is None:
            raise StopAsyncIteration
        return hint


class Channel:
    """The twin of a gRPC channel to one router."""

    def __init__(self, wires: Wires, caller: Process, address: str) -> None:
        self._wires, self._caller, self._address = wires, caller, address

    def stream_stream(self, path: str, **_how: Any) -> Callable[..., Stream]:
        """Give what opens a stream."""

        def call(**_metadata: Any) -> Stream:
            assert path.endswith("/Invalidate")
            return Stream(self._wires, self._caller, self._address)

        return call

    def unary_unary(self, _path: str, **_how: Any) -> None:
        """Give nothing: a link streams."""

    unary_stream = stream_unary = unary_unary

    async def close(self) -> None:
        """Close; the link has ended its stream."""


def _unavailable(detail: str) -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, detail)
