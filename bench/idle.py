"""Holds streams open that say nothing after their first chunk. `python -m bench.idle HOST PORT HEADER BODY COUNT`.

Prints the count once every stream has had its first chunk, then how many have ended too early once its input ends. A
process of its own, so that what it holds is not what is measured.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

_OPENING_AT_ONCE = 100
_OPEN_SECONDS = 240.0


class Held(asyncio.Protocol):
    """One stream."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        transport.write(self._request)  # type: ignore[attr-defined]  # uvloop's transports are of no class of asyncio's

    def data_received(self, data: bytes) -> None:
        """Note the first chunk."""
        if b"data:" in data and not self.begun.done():
            self.begun.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it did not last."""
        self.ended = True
        if not self.begun.done():
            self.begun.set_exception(exc or ConnectionError("it ended before its first chunk"))


async def main(host: str, port: int, request: bytes, count: int) -> None:
    """Open all, say so, and stay until the input ends."""
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(_OPENING_AT_ONCE)
    held: list[Held] = []

    async def hold() -> None:
        async with room:
            _, stream = await loop.create_connection(lambda: Held(request), host, port)
            held.append(stream)
            await stream.begun

    async with asyncio.timeout(_OPEN_SECONDS), asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(hold())
    print(len(held), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(sum(stream.ended for stream in held), flush=True)


def request(host: str, header: str, body: str) -> bytes:
    """A POST of a chat completion."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
    return f"{head}authorization: {header}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


if __name__ == "__main__":
    host, port, header, body, count = sys.argv[1:]
    uvloop.run(main(host, int(port), request(host, header, body), int(count)))
