"""One request and its answer, as the rest of the relay sees them, on ASGI.

The law: this is the only file that speaks ASGI to a request. Reading is bounded in bytes and time, writing waits for
the client (in time, too), and a client that leaves cancels the work at once, wherever it waits.
"""

import asyncio
from collections.abc import Awaitable, Iterable

from relay_svc import errors
from relay_svc.headers import first
from relay_svc.http_protocol import BREAK_OFF
from trunkline.serving import Receive, Scope, Send

Headers = list[tuple[bytes, bytes]]


class ClientLeft(Exception):  # noqa: N818 - a fact, not an error
    """The client closed its connection."""


class ClientStalled(Exception):  # noqa: N818 - a fact, not an error
    """The client took nothing for too long."""


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_receive",
        "_scope",
        "_send",
        "_stall_limit",
        "_whole",
        "gone",
        "headers",
        "sent",
        "stalled",
        "started",
        "status",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, stall_limit: float) -> None:
        """Take an ASGI call; `stall_limit` is the longest wait, in seconds, for the client to take what is sent."""
        self._scope, self._receive, self._send = scope, receive, send
        self._stall_limit = stall_limit
        self._whole = False
        self.headers: Headers = scope["headers"]
        self.gone = False
        """Whether the client has left."""
        self.stalled = False
        """Whether the client took nothing for too long."""
        self.started = False
        """Whether the client has been sent anything."""
        self.status = 0
        """The status sent; 0 before."""
        self.sent = 0
        """Bytes of the answer's body sent."""

    @property
    def method(self) -> str:
        """The method."""
        return str(self._scope["method"])

    @property
    def path(self) -> str:
        """The path, decoded."""
        return str(self._scope["path"])

    @property
    def peer(self) -> str:
        """The IP address at the other end of the connection; empty when it has none."""
        client = self._scope.get("client")
        return client[0] if client else ""

    def header(self, name: bytes) -> bytes:
        """Give a header's first value; empty when there is none."""
        return first(self.headers, name)

    async def body(self, limit: int, time_limit: float) -> bytes:
        """Read the whole body, at most `limit` bytes within `time_limit` seconds. Raises HttpRefusal, ClientLeft."""
        length = self.header(b"content-length")
        if length.isdigit() and int(length) > limit:
            raise errors.body_too_large(limit)
        try:
            async with asyncio.timeout(time_limit):
                return await self._read(limit)
        except TimeoutError:
            raise errors.body_too_slow(time_limit) from None

    async def _read(self, limit: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                raise ClientLeft
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise errors.body_too_large(limit)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def while_present(self, work: Awaitable[None]) -> None:
        """Do the work, and cancel it when the client leaves; the body must have been read. Raises ClientLeft."""
        fault: Exception | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch(), name="client")
                try:
                    await work
                except Exception as error:  # noqa: BLE001 - raised again below, out of the group that would wrap it
                    fault = error
                watching.cancel()
        except* ClientLeft:
            raise ClientLeft from None
        if fault is not None:
            raise fault

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._whole:
            self.gone = True
            raise ClientLeft

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head."""
        self.started = True
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client is behind. Raises ClientStalled."""
        await self._put(data, more=True)

    async def finish(self, data: bytes = b"") -> None:
        """Send the last of the body: the answer is whole. Raises ClientStalled."""
        self._whole = True
        await self._put(data, more=False)

    async def _put(self, data: bytes, *, more: bool) -> None:
        self.sent += len(data)
        try:
            async with asyncio.timeout(self._stall_limit):
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError:
            self.stalled = True
            raise ClientStalled from None

    async def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole answer at once."""
        every = [*headers, (b"content-length", b"%d" % len(body))]
        if self.header(b"expect"):  # the body may have been refused unsent, and then the connection is out of step
            every.append((b"connection", b"close"))
        await self.start(status, every)
        await self.finish(body)

    def break_off(self, *, abort: bool = False) -> None:
        """End the connection in the middle of the answer; `abort` drops what the client has not taken yet."""
        self._whole = True
        end = self._scope.get("state", {}).get(BREAK_OFF)
        if end is not None:  # without it the server ends the connection when the app returns
            end(abort=abort)
