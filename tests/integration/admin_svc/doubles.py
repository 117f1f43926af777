"""A router as the admin sees one: a real gRPC server that speaks Invalidate, and a lease row that it keeps.

Law: it says of itself what the test tells it to, and nothing else; it follows the catalog only when asked to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
import psycopg

from trunkline.v1 import revision_pb2, router_pb2

_LEASE = """
INSERT INTO routers (id, address, incarnation, applied_revision, applied_chain, state, version, expire_time)
VALUES (%s, %s, 'one', %s, decode(%s, 'hex'), %s, 'test', now() + %s * interval '1 second')
ON CONFLICT (id) DO UPDATE SET address = excluded.address, applied_revision = excluded.applied_revision,
    applied_chain = excluded.applied_chain, state = excluded.state, expire_time = excluded.expire_time
"""


@dataclass(eq=False)
class FakeRouter:
    """One router; `obeys` makes it apply every head it is told, at once; `mute` keeps it from answering."""

    id: str
    dsn: str
    obeys: bool = True
    mute: bool = False
    state: str = "SERVING"
    address: str = ""
    applied: revision_pb2.RevisionToken = field(default_factory=revision_pb2.RevisionToken)
    told: list[revision_pb2.RevisionToken] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    streams: int = 0
    _changed: list[asyncio.Event] = field(default_factory=list)

    async def invalidate(
        self,
        request_iterator: AsyncIterator[router_pb2.InvalidateRequest],
        context: grpc.aio.ServicerContext[router_pb2.InvalidateRequest, router_pb2.InvalidateResponse],
    ) -> None:
        """Speak first, then after each head taken and whenever the test says."""
        self.streams += 1
        self.tokens += [str(value) for name, value in context.invocation_metadata() or () if name == "authorization"]
        changed = asyncio.Event()
        self._changed.append(changed)
        try:
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read(request_iterator, changed))
                await context.write(self._word())
                while not reader.done():
                    await changed.wait()
                    changed.clear()
                    await context.write(self._word())
        finally:
            self._changed.remove(changed)

    async def _read(self, requests: AsyncIterator[router_pb2.InvalidateRequest], changed: asyncio.Event) -> None:
        async for request in requests:
            self.told.append(request.head)
            if self.obeys:
                self.applied = request.head
            if not self.mute:
                changed.set()
        changed.set()

    def _word(self) -> router_pb2.InvalidateResponse:
        return router_pb2.InvalidateResponse(
            router_id=self.id,
            incarnation="one",
            applied=self.applied if self.applied.chain else None,
            state=router_pb2.RouterState.Value(f"ROUTER_STATE_{self.state}"),
        )

    def say(self, applied: revision_pb2.RevisionToken | None = None, state: str | None = None) -> None:
        """Say something on every stream."""
        self.applied = applied if applied is not None else self.applied
        self.state = state or self.state
        for changed in self._changed:
            changed.set()

    async def lease(self, seconds: float = 60.0) -> None:
        """Write the lease row as it is now."""
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            values = (self.id, self.address, self.applied.revision, self.applied.chain, self.state, seconds)
            await connection.execute(_LEASE, values)

    async def leave(self) -> None:
        """Give the lease up."""
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            await connection.execute("DELETE FROM routers WHERE id = %s", (self.id,))

    @contextlib.asynccontextmanager
    async def serving(self, *, leased: bool = True) -> AsyncIterator[FakeRouter]:
        """Serve on a free port, with a lease."""
        server = grpc.aio.server()
        invalidate = grpc.stream_stream_rpc_method_handler(
            self.invalidate,
            request_deserializer=router_pb2.InvalidateRequest.FromString,
            response_serializer=router_pb2.InvalidateResponse.SerializeToString,
        )
        handler = grpc.method_handlers_generic_handler("trunkline.v1.RouterService", {"Invalidate": invalidate})
        server.add_generic_rpc_handlers((handler,))
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        if leased:
            await self.lease()
        try:
            yield self
        finally:
            await server.stop(None)
