"""One stream to one router: says where the head is, hears what is in force there, and comes back when it breaks.

The law: a heartbeat each second, in order with the hints, so that silence has a meaning; every write and every wait for a
word is bounded, so a frozen router holds nothing up but its own stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any, Final

import grpc

from admin_svc import metrics
from admin_svc.fanout import Fanout, Report
from admin_svc.records import Token
from admin_svc.wire import show_token, status_of
from trunkline.failpoints import failpoint
from trunkline.rpc import Dialled, PlaintextDialError, read_error
from trunkline.telemetry import get_logger
from trunkline.v1 import router_pb2, router_pb2_grpc

log = get_logger()

HEARTBEAT: Final = 1.0
"""Seconds between two words to a router."""
_SILENCE: Final = 5.0
"""Seconds without a word from a router after which its stream counts as broken; heartbeats are answered."""
_FIRST_WORD: Final = 3.0
"""Seconds until the first word: a connection that swallows everything is not waited for long."""
_WRITE: Final = 5.0
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.7

Stream = grpc.aio.StreamStreamCall[router_pb2.InvalidateRequest, router_pb2.InvalidateResponse]


class BrokenStreamError(Exception):
    """The stream cannot go on."""


_BREAKS: Final = (
    *(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError),
    *(BrokenStreamError, TimeoutError, PlaintextDialError),
)
"""How a stream ends: by its status, by a write after that, by what was said on it, by silence, or before it began."""


class Link:
    """The stream to one router."""

    def __init__(
        self,
        router_id: str,
        address: str,
        *,
        admin_id: str,
        fanout: Fanout,
        dial: Callable[[str], Dialled],
        on_word: Callable[[str], None],
    ) -> None:
        self.router_id = router_id
        self.address = address
        self.connected = False
        self.fault = "not connected yet"
        self._admin_id = admin_id
        self._fanout = fanout
        self._dial = dial
        self._on_word = on_word
        self._wake = asyncio.Event()
        self._insist = False

    def wake(self, *, insist: bool = False) -> None:
        """Look for a hint to send; `insist`: say the head whatever was said before."""
        self._insist |= insist
        self._wake.set()

    async def run(self) -> None:
        """Hold the stream open until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._hold()
            except* _BREAKS as group:
                fault = _said(group)
                if self.connected or fault != self.fault:
                    log.warning(
                        "[Async] stream to router broke", router_id=self.router_id, address=self.address, fault=fault
                    )
                pause = _FIRST_PAUSE if self.connected else min(2 * pause, _LONGEST_PAUSE)
                self.fault = fault
                metrics.STREAM_FAILURES.inc()
            finally:
                self.connected = False
                self._fanout.lose(self.router_id)
            # Before Python 3.13 a group whose child fails at the moment of its cancellation reports only the failure.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - so that not all come back at once

    async def _hold(self) -> None:
        dialled = self._dial(self.address)
        try:
            stub = router_pb2_grpc.RouterServiceStub(dialled.channel)
            stream: Any = stub.Invalidate(metadata=dialled.metadata)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._listen(stream), name=f"hear {self.router_id}")
                    # Here, not in a task: before Python 3.13 a child that fails while the group's body has ended leaves
                    # `cancelling()` raised, which `run` would take for its own end.
                    await self._speak(stream)
            finally:
                stream.cancel()
        finally:
            await dialled.channel.close()

    async def _listen(self, stream: Stream) -> None:
        while True:
            async with asyncio.timeout(_SILENCE if self.connected else _FIRST_WORD):
                word = await stream.read()
            if not isinstance(word, router_pb2.InvalidateResponse):
                raise BrokenStreamError("the router ended the stream")
            if word.router_id != self.router_id:
                raise BrokenStreamError(f"another router answers there: {word.router_id[:64]!r}")
            if not self.connected:
                log.info("[Async] stream to router open", router_id=self.router_id, address=self.address)
            self.connected, self.fault = True, ""
            applied = Token(word.applied.revision, word.applied.chain) if word.HasField("applied") else None
            report = Report(applied, status_of(router_pb2.RouterState, word.state))
            for seconds in self._fanout.hear(self.router_id, report, asyncio.get_running_loop().time()):
                metrics.PROPAGATION_SECONDS.labels(self.router_id).observe(seconds)
            if self._fanout.is_due(self.router_id):
                self.wake()
            self._on_word(self.router_id)

    async def _speak(self, stream: Stream) -> None:
        clock = asyncio.get_running_loop().time
        beat = clock()
        while True:
            head = self._fanout.next_hint(self.router_id)
            hinted = head is not None
            if head is None and (self._insist or clock() >= beat):
                head = self._fanout.repeat_head(self.router_id)
                beat, self._insist = clock() + HEARTBEAT, False
            elif head is None:
                await self._rest(beat - clock())
                continue
            async with asyncio.timeout(_WRITE):
                await stream.write(
                    router_pb2.InvalidateRequest(admin_id=self._admin_id, head=show_token(head) if head else None)
                )
            if hinted:
                failpoint("admin.mid_broadcast")

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()


def _said(group: BaseExceptionGroup[BaseException]) -> str:
    """Say what broke a stream."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _said(error)
        if isinstance(error, grpc.aio.AioRpcError):
            read = read_error(error)
            return f"{read.reason or error.code().name}: {read.message}"[:256]
        if isinstance(error, TimeoutError):
            return "no word in time"
        return str(error)[:256]
    return ""
