"""One `Invalidate` stream: hints in, what is in force out.

The law: the router speaks first, then after each change of what is in force, and in answer to each message; while one answer
is on its way, further reasons to speak become one. A caller that half-closes without having named a head wants the router
to catch up now, and is answered once that is done.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from router_svc import wire
from router_svc.cache import Cache
from router_svc.desk import TIME_LIMIT, Desk
from trunkline.errors import NotReady
from trunkline.v1 import router_pb2

Send = Callable[[router_pb2.InvalidateResponse], Awaitable[None]]


class InvalidationStream:
    """The state of one stream."""

    def __init__(self, cache: Cache, desk: Desk, send: Send) -> None:
        """Take what is told of, what catches up, and where answers go."""
        self._cache, self._desk, self._send = cache, desk, send
        self._owed = asyncio.Event()
        self._read_all = self._named_a_head = False

    async def serve(self, requests: AsyncIterator[router_pb2.InvalidateRequest], drain: asyncio.Event) -> None:
        """Serve the stream until its caller half-closes or the service drains. Raises Refused."""
        self._owed.set()
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(self._read(requests), name="read hints"),
                tasks.create_task(self._watch(), name="watch applied"),
                tasks.create_task(self._watch_drain(drain), name="watch drain"),
            ]
            while not drain.is_set():
                await self._owed.wait()
                self._owed.clear()
                if self._read_all:
                    break
                await self._send(self.answer())
            for helper in helpers:
                helper.cancel()
        if not drain.is_set() and not self._named_a_head:
            await self._catch_up()
        await self._send(self.answer())

    async def _read(self, requests: AsyncIterator[router_pb2.InvalidateRequest]) -> None:
        async for request in requests:
            if request.HasField("head"):
                self._named_a_head = True
                self._cache.hint(wire.token_of(request.head))
            self._owed.set()
        self._read_all = True
        self._owed.set()

    async def _watch_drain(self, drain: asyncio.Event) -> None:
        await drain.wait()
        self._owed.set()

    async def _watch(self) -> None:
        while True:
            await self._cache.applied.next()
            self._owed.set()

    async def _catch_up(self) -> None:
        arrival = time.monotonic()
        refusal = await self._desk.proven(arrival, arrival + TIME_LIMIT)
        if refusal is not None:
            raise refusal

    def answer(self) -> router_pb2.InvalidateResponse:
        """Tell what is in force."""
        presence, snapshot = self._cache.presence, self._cache.snapshot
        if presence is None:
            raise NotReady
        return router_pb2.InvalidateResponse(
            router_id=presence.who.id,
            incarnation=presence.who.incarnation,
            applied=wire.token_message(snapshot.token) if snapshot is not None else None,
            digest=str(snapshot.digest) if snapshot is not None else "",
            state=wire.state_message(self._cache.state),
            quarantined_count=len(snapshot.quarantine) if snapshot is not None else 0,
        )
