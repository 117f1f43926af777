"""An upstream of raw sockets that does as the test says, however wrong that is.

Law: nothing between the test and the wire: a script reads one request and writes whatever bytes it likes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


@dataclass
class Call:
    """One request, and the connection to answer it on."""

    line: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        """Write one HTTP chunk."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def until_gone(self) -> None:
        """Wait until the other side has closed."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Script = Callable[[Call], Awaitable[None]]


@dataclass
class Upstream:
    """One upstream; `script` serves every request."""

    script: Script
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    base_url: str = ""
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            # Cancelled only at the end of `serving`, and then asyncio's streams would log it.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    call = await _read(reader, writer)
                    self.calls.append(call)
                    await self.script(call)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._open.discard(task)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Upstream]:
        """Serve on a free port; in the end every connection is closed, whatever its script waits for."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        self.base_url = f"http://{host}:{port}/v1"
        try:
            yield self
        finally:
            server.close()
            for call in self.calls:
                call.writer.transport.abort()
            for task in self._open:
                task.cancel()
            if self._open:
                await asyncio.wait(self._open)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Call:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in fields)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Call(line, headers, body, reader, writer)


def response(status: int, body: bytes, content_type: str = "application/json", extra: str = "") -> bytes:
    """A whole response."""
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def completion(text: str = "hello") -> bytes:
    """The body of a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": USAGE}
    return json.dumps(answer).encode()


def event(text: str | None, finish: str | None = None) -> bytes:
    """One event of a streamed completion."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    answer = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(answer).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def answers(status: int = 200, body: bytes | None = None, **headers: str) -> Script:
    """A script that answers every request alike."""
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())

    async def script(call: Call) -> None:
        await call.send(response(status, completion() if body is None else body, extra=extra))

    return script


def error(status: int, code: str | None = None, kind: str = "") -> Script:
    """A script that answers every request with an error."""
    return answers(status, json.dumps({"error": {"message": "no", "code": code, "type": kind}}).encode())


async def streams(call: Call) -> None:
    """A good stream of three events."""
    await call.send(SSE_HEAD)
    for text in ("a", "b", "c"):
        await call.chunk(event(text))
    await call.chunk(event(None, "stop"))
    await call.chunk(DONE)
    await call.send(LAST_CHUNK)
